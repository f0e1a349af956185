"""Which format a tokenizer's model writes, and the marks that the reader looks for.

Apertus is known by its vocabulary, the rest by what mlx-lm inferred from the chat template; a
model with neither gets the plain format.
"""

from dataclasses import dataclass
from typing import Any, cast

from worker.tools.formats import apertus, json_tags, mistral
from worker.tools.formats.apertus import Apertus
from worker.tools.formats.base import ToolFormat
from worker.tools.formats.json_tags import JsonTags
from worker.tools.formats.mistral import Mistral
from worker.tools.formats.mlx import MlxFormat
from worker.tools.grammar import Mark

# before mlx-lm's own guess: Apertus has <think> in its vocabulary too, unused (mlx-lm pull 1663)
_THINK = ((apertus.THINK_START, apertus.THINK_END), ("[THINK]", "[/THINK]"))


@dataclass(frozen=True)
class Marks:
    """What the reader looks for; "" where the model has none.

    ``visible``: tokens that make no text by default, but must here.
    """

    tool_start: str = ""
    tool_end: str = ""
    think_start: str = ""
    think_end: str = ""
    visible: frozenset[int] = frozenset()


def format_of(tokenizer: Any) -> ToolFormat:
    """``tokenizer``: mlx-lm's TokenizerWrapper."""
    if apertus.START in _vocabulary(tokenizer):
        return Apertus("apertus", _mark(tokenizer, apertus.START), _mark(tokenizer, apertus.END))
    # Kimi K3 writes its whole answer as XML of special tokens, which the reader does not know
    if not tokenizer.has_tool_calling or tokenizer.structural_markers:
        return _tags(tokenizer, "plain", json_tags.START, json_tags.END)
    return _of_mlx(tokenizer)


def _of_mlx(tokenizer: Any) -> ToolFormat:
    name = str(tokenizer.tool_parser.__module__).rpartition(".")[2]
    start, end = str(tokenizer.tool_call_start), str(tokenizer.tool_call_end or "")
    if name == "json_tools":
        return _tags(tokenizer, name, start, end)
    if name == "mistral":
        has_args = mistral.ARGS in _vocabulary(tokenizer)
        args = _mark(tokenizer, mistral.ARGS) if has_args else None
        return Mistral(name, _mark(tokenizer, mistral.START), Mark(""), args)
    forced = _tags(tokenizer, "plain", json_tags.START, json_tags.END)
    marks = (_mark(tokenizer, start), _mark(tokenizer, end))
    return MlxFormat(name, *marks, tokenizer.tool_parser, forced)


def forced_format(format: ToolFormat) -> ToolFormat:
    """The format of the calls that ``format``'s grammars make; the reader of such an answer
    needs this one."""
    return format.forced if isinstance(format, MlxFormat) else format


def marks_of(tokenizer: Any, format: ToolFormat | None) -> Marks:
    """Without a format: those of reasoning alone, for requests that have no tools."""
    think_start, think_end = _thinking(tokenizer)
    tool_start, tool_end = (format.start, format.end) if format else ("", "")
    texts = (tool_start, tool_end, think_start, think_end, *(format.inner if format else ()))
    added = frozenset(cast(dict[str, int], tokenizer.get_added_vocab()).values())
    tokens = (token for text in texts if text for token in _tokens(tokenizer, text))
    visible = frozenset(token for token in tokens if token in added)
    return Marks(tool_start, tool_end, think_start, think_end, visible)


def _thinking(tokenizer: Any) -> tuple[str, str]:
    vocabulary = _vocabulary(tokenizer)
    for start, end in _THINK:
        if start in vocabulary and end in vocabulary:
            return start, end
    if tokenizer.has_thinking and not tokenizer.structural_markers:
        return str(tokenizer.think_start), str(tokenizer.think_end)
    return "", ""


def _tags(tokenizer: Any, name: str, start: str, end: str) -> JsonTags:
    return JsonTags(name, _mark(tokenizer, start), _mark(tokenizer, end))


def _mark(tokenizer: Any, text: str) -> Mark:
    token = cast(dict[str, int], tokenizer.get_added_vocab()).get(text)
    return Mark(text, token, token is not None and token in tokenizer.eos_token_ids)


def _tokens(tokenizer: Any, text: str) -> list[int]:
    return cast(list[int], tokenizer.encode(text, add_special_tokens=False))


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    return cast(dict[str, int], tokenizer.get_vocab())
