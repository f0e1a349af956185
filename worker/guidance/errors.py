"""What the guidance package raises before a row begins; the server makes a 400 of it."""


class GrammarError(ValueError):
    """The grammar cannot be held to; the message names the keyword or the place in the text."""
