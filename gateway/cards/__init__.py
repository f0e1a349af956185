"""Cards of the served adapters: found, kept, shown."""
