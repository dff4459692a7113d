"""Image pairs, or generated images, to a checkpoint."""
