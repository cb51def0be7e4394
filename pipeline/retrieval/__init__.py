"""Retrieval sets and their metrics, BM25, rank fusion, near-duplicates."""
