"""Vectors that exist already: their files, and which texts of a run they belong to."""
