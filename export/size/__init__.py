"""Where the bytes of a bundle are."""
