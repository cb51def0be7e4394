"""From a trained student to the files that are shipped."""
