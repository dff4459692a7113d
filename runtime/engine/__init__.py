"""Arrays to arrays: images in bands of rows, through a model in batches of tiles. Knows no files."""
