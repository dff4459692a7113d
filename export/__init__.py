"""Checkpoints to ONNX, refused unless they match PyTorch."""
