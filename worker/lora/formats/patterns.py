"""PEFT's rank_pattern and alpha_pattern: a value by layer name or by regular expression.

A pattern fits as in PEFT 0.21 (peft/utils/other.py, get_pattern_key): if it is the module's
whole name, or all that follows one of its dots. PEFT trains with the first that fits, but
sorts them when it saves: which was first is lost, so all that fit are told, and who can't
tell them apart refuses. Patterns that could take longer than the file to read are refused.
"""

import re
from collections.abc import Mapping

from worker.lora.formats.naming import shown

MAX_PATTERNS = 20_000
_LONGEST = 300
# a repeated group, or many open repeats, makes the time explode on a name that does not match
_REPEATED_GROUP = re.compile(r"\)\s*[*+{]")
_OPEN_REPEAT = re.compile(r"(?<!\\)[*+{]")
_MOST_REPEATS = 3
_LITERAL = re.compile(r"[\w.-]+")


class Patterns:
    """Values by pattern. Raises ValueError for a pattern that can't be used, by its text."""

    def __init__(self, values: Mapping[str, float]) -> None:
        if len(values) > MAX_PATTERNS:
            raise ValueError(f"more than {MAX_PATTERNS} patterns")
        self._rules = [(_compiled(pattern), value) for pattern, value in values.items()]

    def find(self, module: str, otherwise: float) -> tuple[float, ...]:
        """The different values of the patterns that fit ``module``, as the training named it;
        ``otherwise`` where none does."""
        found = dict.fromkeys(value for rule, value in self._rules if rule.match(module))
        return tuple(found) or (otherwise,)


def _compiled(pattern: str) -> re.Pattern[str]:
    if not pattern:
        raise ValueError("a pattern is empty")
    if len(pattern) > _LONGEST or (
        not _LITERAL.fullmatch(pattern)
        and (_REPEATED_GROUP.search(pattern) or len(_OPEN_REPEAT.findall(pattern)) > _MOST_REPEATS)
    ):
        raise ValueError(f"'{shown(pattern)}' is too complex; name the layers instead")
    try:
        return re.compile(rf"(.*\.)?({pattern})$")
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"'{shown(pattern)}' is no regular expression: {error}") from None
