"""Add results to the text of a fleet file: only one adapter's lines change. Pure: text -> text.

What is edited is found by a YAML parser's marks, never by looking for words; all else stays as
it is, character by character. Layouts where that can't be done safely are refused: whoever
writes the text must load it first, and compare.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from fleet.evidence.results import Evaluation

KEY = "evaluation"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_DASH = re.compile(r"( *)- +")


class EditError(Exception):
    """The layout is one that is not edited by program; says why."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The new text, and all results that it gives the adapter."""

    text: str
    evaluation: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True)
class _Splice:
    start: int
    end: int
    text: str


def with_results(
    text: str, adapter: str, existing: Sequence[Evaluation], results: Sequence[Evaluation]
) -> Edit:
    """``text`` with ``results`` under ``adapter``, which has ``existing`` now.

    A result of the same benchmark and source that stands on one line is replaced; others are
    added at the end. Raises EditError.
    """
    made, evaluation = text, tuple(existing)
    for result in results:
        editor = _Editor(made, adapter)
        at = editor.replaceable(evaluation, result)
        if at is None:
            made, evaluation = editor.added(result), (*evaluation, result)
        else:
            made = editor.replaced(at, result)
            evaluation = (*evaluation[:at], result, *evaluation[at + 1 :])
    return Edit(made, evaluation)


def as_yaml(result: Evaluation) -> str:
    """A result as one line of YAML."""
    fields = {
        "benchmark": _word(result.benchmark),
        "base": _number(result.base),
        "adapter": _number(result.adapter),
        "date": result.date.isoformat(),
        "source": _word(result.source),
    }
    if result.n is not None:
        fields["n"] = str(result.n)
    if not result.higher_is_better:
        fields["higher_is_better"] = "false"
    if result.digest is not None:
        fields["digest"] = _word(result.digest)
    return "{" + ", ".join(f"{key}: {value}" for key, value in fields.items()) + "}"


class _Editor:
    """One text and the nodes of one adapter in it."""

    def __init__(self, text: str, adapter: str) -> None:
        self._text = text
        self._newline = "\r\n" if "\r\n" in text else "\n"
        try:
            root = cast(Node | None, yaml.compose(text, yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
        except (yaml.YAMLError, RecursionError):
            raise EditError("it is not valid YAML") from None
        adapters = _value(root, "adapters", 0)
        entry = _value(adapters, adapter, 0)
        if not isinstance(entry, MappingNode) or not entry.value:
            raise EditError(f"adapter '{adapter}' is not written out in it")
        self._entry: MappingNode = entry
        has_key = any(key.value == KEY for key, _ in entry.value)
        self._list = _value(entry, KEY, entry.start_mark.index) if has_key else None

    def replaceable(self, existing: Sequence[Evaluation], result: Evaluation) -> int | None:
        """Which of the results ``result`` takes the place of; None: it is a new one."""
        same = [
            at
            for at, each in enumerate(existing)
            if (each.benchmark, each.source) == (result.benchmark, result.source)
        ]
        if not same or not isinstance(self._list, SequenceNode):
            return None
        item = self._list.value[same[-1]]
        shown = self._text[item.start_mark.index : item.end_mark.index]
        is_line = isinstance(item, MappingNode) and item.flow_style and "\n" not in shown
        return same[-1] if is_line and shown.startswith("{") else None

    def replaced(self, at: int, result: Evaluation) -> str:
        assert isinstance(self._list, SequenceNode)
        item = self._list.value[at]
        return self._with(_Splice(item.start_mark.index, item.end_mark.index, as_yaml(result)))

    def added(self, result: Evaluation) -> str:
        if self._list is None:
            return self._with(
                self._key_in_flow(result) if self._entry.flow_style else self._key(result)
            )
        if not isinstance(self._list, SequenceNode):
            raise EditError(f"its '{KEY}' is not a list that is written out")
        if self._list.flow_style:
            return self._with(self._item_in_flow(self._list, result))
        return self._with(self._item(self._list, result))

    def _with(self, splice: _Splice) -> str:
        return self._text[: splice.start] + splice.text + self._text[splice.end :]

    def _key(self, result: Evaluation) -> _Splice:
        first: Node = self._entry.value[0][0]  # the entry itself may begin with an anchor
        margin = self._margin(first.start_mark.index)
        if len(margin) != first.start_mark.column:
            raise EditError("the adapter does not begin on a line of its own")
        ends = [_end_of(value, key.end_mark.index) for key, value in self._entry.value]
        end = next((end for end in reversed(ends) if end is not None), None)
        if end is None:
            raise EditError("none of the adapter's keys ends where that can be told")
        return self._lines_after(end, [f"{margin}{KEY}:", f"{margin}  - {as_yaml(result)}"])

    def _item(self, items: SequenceNode, result: Evaluation) -> _Splice:
        last: Node = items.value[-1]
        start = last.start_mark.index
        dash = _DASH.fullmatch(self._text, self._line_start(start), start)
        end = _end_of(last, start - 1)
        if dash is None or end is None:
            raise EditError(f"its '{KEY}' ends where that can't be told")
        return self._lines_after(end, [f"{dash[1]}- {as_yaml(result)}"])

    def _key_in_flow(self, result: Evaluation) -> _Splice:
        key, value = self._entry.value[-1]
        end = _end_of(value, key.end_mark.index)
        if end is None:
            raise EditError("the adapter's last key is not written out")
        margin = self._newline + self._margin(self._entry.start_mark.index)
        new = f",{margin}  {KEY}: [{margin}    {as_yaml(result)}]"
        return _Splice(end, end, new)

    def _item_in_flow(self, items: SequenceNode, result: Evaluation) -> _Splice:
        if not items.value:
            at = items.end_mark.index - 1
            return _Splice(at, at, as_yaml(result))
        last: Node = items.value[-1]
        end = _end_of(last, last.start_mark.index - 1)
        if end is None or end < items.start_mark.index:
            raise EditError(f"the last of its '{KEY}' is not written out")
        margin = self._margin(last.start_mark.index)
        # as the one before it: on a line of its own, or on the same
        is_own_line = len(margin) == last.start_mark.column
        between = f",{self._newline}{margin}" if is_own_line else ", "
        return _Splice(end, end, between + as_yaml(result))

    def _lines_after(self, end: int, lines: list[str]) -> _Splice:
        """After the line on which ``end`` stands, whose comment stays where it is."""
        stop = self._text.find("\n", end)
        new = self._newline.join(lines)
        if stop < 0:
            return _Splice(len(self._text), len(self._text), self._newline + new + self._newline)
        return _Splice(stop + 1, stop + 1, new + self._newline)

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _margin(self, at: int) -> str:
        """The spaces with which the line of ``at`` begins."""
        start = self._line_start(at)
        return " " * (len(self._text[start:]) - len(self._text[start:].lstrip(" ")))


def _value(node: Node | None, wanted: str, after: int) -> Node:
    """What a key of a mapping stands for; refuses what is written elsewhere and referred to."""
    pairs = cast(list[tuple[Node, Node]], node.value) if isinstance(node, MappingNode) else []
    for key, value in pairs:
        if key.value == wanted:
            if value.start_mark.index < max(after, key.end_mark.index):
                raise EditError(f"'{wanted}' refers to what stands elsewhere")
            return value
    raise EditError(f"there is no '{wanted}' in it")


def _end_of(node: Node, after: int) -> int | None:
    """Where a node's text ends; None for one that stands elsewhere, or whose end is open.

    The parser's mark of a block, or of a text after ``|`` or ``>``, is that of what follows it.
    """
    if node.start_mark.index < after:
        return None
    if isinstance(node, ScalarNode):
        return None if node.style in ("|", ">") else node.end_mark.index
    assert isinstance(node, CollectionNode)
    if node.flow_style:
        return node.end_mark.index
    if isinstance(node, MappingNode):
        key, value = node.value[-1]
        return _end_of(value, key.end_mark.index)
    last: Node = node.value[-1]
    return _end_of(last, node.start_mark.index)


def _word(text: str) -> str:
    is_plain = _PLAIN.fullmatch(text) and yaml.safe_load(text) == text
    return text if is_plain else json.dumps(text, ensure_ascii=False)


def _number(value: float) -> str:
    # YAML takes 1e+16 for a text
    text = repr(value)
    return f"{Decimal(text):f}" if "e" in text else text
