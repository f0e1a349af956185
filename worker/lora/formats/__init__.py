"""How adapters are stored: folders, safetensors, names of tensors, scales. No MLX here."""
