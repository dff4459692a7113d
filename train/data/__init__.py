"""Pairs of images: found, divided, prepared, drawn in batches."""
