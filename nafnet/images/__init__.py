"""Image files: one decoder, one encoder, and one place that says what a format keeps."""
