"""A cross-encoder as second teacher: its scores of pairs, and its dual-pooled form as a bi-encoder."""
