"""What a file carries beside its pixels: read, made true for the restored picture, and what each format keeps of it."""
