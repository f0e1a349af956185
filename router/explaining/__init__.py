"""Why the router decided as it did: rules with their numbers, words, likenesses, what-ifs."""

from router.explaining.build import explain
from router.explaining.explanation import Explanation
from router.explaining.terminal import lines

__all__ = ["Explanation", "explain", "lines"]
