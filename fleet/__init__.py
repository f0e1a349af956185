"""Leaf package: the fleet file (adapters.yaml), its names, and digests of what it points to."""
