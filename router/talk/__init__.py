"""A conversation -> which turns count, what is a client's errand, when the domain changes."""
