"""What differs between operating systems and processors, one module each."""
