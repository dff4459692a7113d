"""The search for the first form of a network that passes the gate, int8 included."""
