"""Files that are what they were when they were written: digests of JSON, and listed files with their hashes."""
