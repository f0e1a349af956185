"""A card that can't be read at all. What is wrong inside a card is a finding, not an error."""


class CardError(Exception):
    """``str()`` says what is wrong with which file, and the mend."""
