"""Structured output: what an answer must look like, held to token by token (llguidance)."""
