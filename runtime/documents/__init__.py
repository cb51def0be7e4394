"""Reading the files that people keep documents in: which kinds there are, and one reader a kind."""
