"""An index of documents and the ways to search it."""
