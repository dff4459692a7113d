"""A run from its first step to its last, and what it leaves on the disk."""
