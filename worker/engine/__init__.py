"""The engine thread: admits requests, runs the one mixed batch, turns tokens into events."""
