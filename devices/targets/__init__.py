"""Ways to run something on a device."""
