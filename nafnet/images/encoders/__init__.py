"""Encoders other than libvips, one a file."""
