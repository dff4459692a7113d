"""A result as tables and as a page."""
