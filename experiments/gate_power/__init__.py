"""How often the gate catches a real regression, and how often it raises a false alarm."""
