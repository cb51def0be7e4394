"""Measurements of a model on a device."""
