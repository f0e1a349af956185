"""Many LoRA adapters on one resident base: files, stacked factors, the slot in the cache."""
