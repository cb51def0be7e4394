"""Studies of indexes: passages, and changes."""
