"""Function calls and reasoning in a model's answer: how they are read, written and forced."""
