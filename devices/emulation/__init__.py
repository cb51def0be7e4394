"""Emulated ARM boards: their set-up and the instruction counter."""
