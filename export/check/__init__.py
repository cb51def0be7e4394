"""Checks of an exported graph against its reference."""
