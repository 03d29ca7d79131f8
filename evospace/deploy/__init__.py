"""Networks that leave EvoSpace: plain PyTorch, ONNX or timm."""
