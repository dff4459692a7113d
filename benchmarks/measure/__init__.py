"""What is measured: parity and speed of a case, cold starts, whole paths, accuracy, the machine's limits."""
