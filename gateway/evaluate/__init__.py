"""``ailiance eval``: an adapter beside its base, measured through the API that serves them."""
