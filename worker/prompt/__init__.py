"""Messages and tools to tokens, by the base's own chat template."""
