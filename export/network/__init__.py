"""NAFNet rewritten for inference, and written as a graph."""
