"""A folder of weights for PyTorch as teacher: what cannot be read, and adapters of other models."""
