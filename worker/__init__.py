"""The MLX process: one base, many adapters, one batch; speaks the OpenAI API itself."""
