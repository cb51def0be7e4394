"""The large rankers: where they come from, and the vectors and scores that they give."""
