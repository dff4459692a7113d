"""Where each container keeps what libvips does not read or write as it was: the bytes around the pixels."""
