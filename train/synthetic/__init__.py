"""Pictures and their faults made by arithmetic: dead leaves, textures, a camera's noise, files."""
