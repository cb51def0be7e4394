"""A reader of bundles in C, without ONNX Runtime: sources, how they are built, and a Python binding."""
