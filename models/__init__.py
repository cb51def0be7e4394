"""Ready-made students that come with the package: a folder for each, with its bundle and its weights for PyTorch."""
