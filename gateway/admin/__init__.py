"""Adapters of a running gateway: loaded, replaced, unloaded, listed, and kept over restarts."""
