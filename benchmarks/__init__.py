"""Measures everything else: speed and accuracy, side by side."""
