"""What keeps an adapter from being measured."""


class EvaluationError(Exception):
    """``str()`` says what, where, and the mend; never text of a prompt or an answer."""
