"""Passages: the parts of a document that get a vector each, so that nothing of a long one is left unread."""
