"""Where documents, queries and relevance judgements come from."""
