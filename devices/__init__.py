"""Device profiles, and the targets that run a measurement on a device."""
