"""What is compared: backends, forms of PyTorch, and the exports they run."""
