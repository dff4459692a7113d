"""Where a network's time goes: by level, by kind of operator, by backend."""
