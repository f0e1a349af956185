"""Side-by-side measurements: everything is a ratio within one run."""
