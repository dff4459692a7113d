"""Which files: found, named, checked together, and recorded when they are written; nothing is restored here."""
