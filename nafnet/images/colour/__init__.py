"""The tone of a picture's values: what the file says of it, and between it and the one the network knows."""
