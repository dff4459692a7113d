"""What a bug report needs to know of a machine, and whether the backends give right pictures on it."""
