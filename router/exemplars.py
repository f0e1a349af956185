"""Reads the exemplars that the head learns from, and splits them by theme.

Reading and shape checks only; tests/router/test_data.py judges the quality of the content.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zlib import crc32

import yaml

from router.decision import GENERAL
from router.errors import RouterError


@dataclass(frozen=True)
class Exemplar:
    """One prompt and the class that it belongs to."""

    text: str
    label: str
    lang: str
    theme: str


def read_folder(folder: Path) -> list[Exemplar]:
    """All ``*.yaml`` of a folder, in the order of their names. Raises RouterError."""
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise RouterError(folder, "no exemplars (*.yaml) here; name the folder with --data")
    return [exemplar for path in paths for exemplar in read_file(path)]


def read_file(path: Path) -> list[Exemplar]:
    """The exemplars of one ``domain:`` + ``examples:`` file. Raises RouterError."""
    content = _mapping(path)
    label, rows = content.get("domain"), content.get("examples")
    if not isinstance(label, str) or not isinstance(rows, list) or not rows:
        raise RouterError(path, "needs 'domain: NAME' and a list 'examples:'")
    return [_exemplar(path, label, row) for row in cast(list[Any], rows)]


def _exemplar(path: Path, label: str, row: Any) -> Exemplar:
    if isinstance(row, str):
        row = {"text": row}
    fields = cast(dict[str, Any], row) if isinstance(row, dict) else {}
    text = fields.get("text")
    if not isinstance(text, str) or not text.strip():
        raise RouterError(path, f"an example has no text: {row!r}; write {{text: ..., lang: ...}}")
    return Exemplar(text, label, str(fields.get("lang", "")), str(fields.get("theme", "")))


def read_terms(path: Path, labels: Sequence[str]) -> list[Exemplar]:
    """The glossary: ``{label: {lang: "term, term, ..."}}``; labels not asked for are left out."""
    content = _mapping(path)
    return [
        Exemplar(term.strip(), label, lang, "glossary")
        for label in labels
        for lang, terms in cast(dict[str, str], content.get(label, {})).items()
        for term in terms.split(",")
        if term.strip()
    ]


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RouterError(path, f"can't be read: {error}") from None
    if not isinstance(content, dict):
        raise RouterError(path, "empty or not a mapping")
    return cast(dict[str, Any], content)


def labels_of(exemplars: Sequence[Exemplar]) -> tuple[str, ...]:
    """The classes, domains in the order of the alphabet and ``general`` last."""
    names = {exemplar.label for exemplar in exemplars}
    return (*sorted(names - {GENERAL}), *sorted(names & {GENERAL}))


def fold_of(exemplar: Exemplar, folds: int) -> int:
    """The fold that holds an exemplar out: all of one theme share it, so dev is never train."""
    return crc32(f"{exemplar.label}/{exemplar.theme}".encode()) % folds
