"""What a measurement leaves: metrics and reports."""
