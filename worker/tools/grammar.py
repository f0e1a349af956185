"""Lark rules, as llguidance reads them, for calls that must be well-formed.

Rule names: ``tool_calls`` (start mark and all that follows), ``tc_rest`` (all behind the first
start mark), ``tc_call`` (one call), ``tc_f0``... (one function), ``tc_auto`` (free text, then
perhaps calls), ``tc_text``, ``tc_head``, ``TC_TEXT``. Schemas pass ``worker.guidance`` first; what
it refuses is refused here for strict functions (all are, where a call is required), and left to
the model for others. Source:
llguidance 1.9, docs/syntax.md, and tests/worker/tools/test_grammar.py.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wire.errors import InvalidRequest
from wire.structured import canonical
from wire.tools import FunctionSpec
from worker.guidance.errors import GrammarError
from worker.guidance.schemas import enforceable

# as json.dumps and the templates' tojson print it; free white space can run on without end
_SPACING = {"whitespace_flexible": False, "item_separator": ", ?", "key_separator": ": ?"}


@dataclass(frozen=True)
class Mark:
    """Text that the tokenizer may have as one ``token``; ``ends``: that token ends the answer."""

    text: str
    token: int | None = None
    ends: bool = False

    @property
    def lark(self) -> str:
        """The terminal. llguidance refuses an added token where a grammar spells out its text."""
        if not self.text or self.ends:
            return ""
        return literal(self.text) if self.token is None else f"<[{self.token}]>"


def literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def calls(rest: str, start: Mark, tools: Sequence[FunctionSpec], before: str, after: str) -> str:
    """``before`` and ``after``: what stands around the arguments, with ``NAME`` for the name."""
    lines = [f"tool_calls: {start.lark} tc_rest", f"tc_rest: {rest}"]
    lines.append("tc_call: " + " | ".join(f"tc_f{at}" for at in range(len(tools))))
    for at, tool in enumerate(tools):
        named = before.replace("NAME", tool.name)
        lines.append(f"tc_f{at}: {named} %json {_schema(tool)} {after}")
    return "\n".join(lines) + "\n"


def repeated(separator: str, *, at_most_one: bool) -> str:
    return "tc_call" if at_most_one else f"tc_call ({separator} tc_call)*"


def auto(start: Mark) -> str:
    """Free text without the start mark, or calls, perhaps with such text before them.

    A mark that is one token is no text to llguidance, but could still be spelled out, which the
    reader could not tell from the token: the text may not hold it either way.
    """
    mark = re.escape(start.text).replace("/", r"\/")
    lines = [
        "tc_auto: tc_text | tc_text tool_calls"
        if start.token is not None
        else "tc_auto: tc_text | tc_head tc_rest",
        "tc_text: TC_TEXT",
        f"TC_TEXT: /(?s:.*)/ & ~/(?s:.*){mark}(?s:.*)/",
    ]
    if start.token is None:
        lines.append(f"tc_head[lazy]: /(?s:.*){mark}/")
    return "\n".join(lines) + "\n"


def _schema(tool: FunctionSpec) -> str:
    """Arguments are an object, whatever else the schema says of them."""
    return canonical({**_enforceable(tool), "type": "object", "x-guidance": _SPACING})


def _enforceable(tool: FunctionSpec) -> dict[str, Any]:
    try:
        return enforceable(tool.schema_of_arguments)
    except GrammarError as error:
        if tool.strict:
            message = f"the parameters of '{tool.name}' can't be enforced: {error}"
            mend = "simplify them, or let tool_choice be auto and leave out strict"
            raise InvalidRequest(f"{message}; {mend}", param="tools") from None
        # no promise was made: the model is trusted with the members
        return {}
