"""``ailiance check``: what each adapter of a fleet is, does, and whether it is fit to serve."""
