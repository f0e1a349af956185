"""Leaf package: the OpenAI wire. Request and response models, the error tree, SSE framing."""
