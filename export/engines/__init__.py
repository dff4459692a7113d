"""TensorRT engines: built, read back, run, written."""
