"""The harness: measure a model on a device, report it, and gate a release on it."""
