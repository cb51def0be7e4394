"""A folder with an ONNX graph in place of PyTorch's weights, as fastembed and Chroma ship it, as teacher."""
