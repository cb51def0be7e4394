"""From texts to token ids, and whether a bundle knows their words."""
