"""Passages of long documents, for training: what no model reads of a document's own text."""
