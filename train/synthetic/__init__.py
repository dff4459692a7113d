"""Images and noise made by arithmetic: dead leaves, textures, a camera's noise."""
