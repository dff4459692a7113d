"""A result against earlier ones: what may be compared, and what has become slower."""
