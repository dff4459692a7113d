"""Files to files: found, decoded, restored by the engine, encoded, recorded."""
