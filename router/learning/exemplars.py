"""Reads prompts that have a label: exemplars to learn from, prompts to tune on or to test.

Reading and shape checks only; tests/router/test_data.py judges the quality of the content.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from router.decision import GENERAL
from router.errors import RouterError

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's where PyYAML was built with it: eight times as fast, as safe."""
GLOSSARY = "glossary"
"""Theme of the terms that have none of their own."""


@dataclass(frozen=True)
class Exemplar:
    """One prompt, the class that it belongs to, and a second class that would do as well."""

    text: str
    label: str
    lang: str = ""
    theme: str = ""
    also: str = ""


def read_folder(folder: Path) -> list[Exemplar]:
    """All ``*.yaml`` of a folder, in the order of their names. Raises RouterError."""
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise RouterError(folder, "no prompts (*.yaml) here; name the folder with --data")
    return [exemplar for path in paths for exemplar in read_file(path)]


def read_file(path: Path, label: str | None = None) -> list[Exemplar]:
    """The prompts of one file. Raises RouterError.

    The file holds ``examples:``, a list of texts or of ``{text, lang, theme, also, domain}``.
    The class is ``label``, else each row's own ``domain``, else the file's.
    """
    content = _mapping(path)
    rows = content.get("examples")
    if not isinstance(rows, list) or not rows:
        raise RouterError(path, "needs a list 'examples:' of texts or {text: ..., lang: ...}")
    named = label or content.get("domain")
    return [_exemplar(path, named, row) for row in cast(list[Any], rows)]


def of_texts(texts: Sequence[str], label: str) -> list[Exemplar]:
    """Exemplars written straight into the fleet file."""
    return [Exemplar(text, label, theme=f"{label}-{n}") for n, text in enumerate(texts)]


def _exemplar(path: Path, label: Any, row: Any) -> Exemplar:
    if isinstance(row, str):
        row = {"text": row}
    fields = cast(dict[str, Any], row) if isinstance(row, dict) else {}
    text = fields.get("text")
    if not isinstance(text, str) or not text.strip():
        raise RouterError(path, f"an example has no text: {row!r}; write {{text: ..., lang: ...}}")
    label = label or fields.get("domain")
    if not isinstance(label, str) or not label:
        raise RouterError(path, "has no 'domain: NAME', and an example without one of its own")
    parts = {key: str(fields.get(key, "")) for key in ("lang", "theme", "also")}
    return Exemplar(text, label, **parts)


def read_terms(path: Path) -> list[Exemplar]:
    """The glossary: ``{label: {lang: "term, term, ..."}}``, or with themes between the two."""
    return [
        Exemplar(term, label, lang, theme)
        for label, listed in _mapping(path).items()
        for theme, languages in _by_theme(listed).items()
        for lang, line in languages.items()
        for term in split_terms(line)
    ]


def _by_theme(listed: dict[str, Any]) -> dict[str, dict[str, str]]:
    plain: dict[str, str] = {k: v for k, v in listed.items() if isinstance(v, str)}
    nested: dict[str, dict[str, str]] = {k: v for k, v in listed.items() if k not in plain}
    return nested | ({GLOSSARY: plain} if plain else {})


def split_terms(listed: str) -> list[str]:
    """The terms of a comma-separated line."""
    return [term.strip() for term in listed.split(",") if term.strip()]


def labels_of(exemplars: Sequence[Exemplar]) -> tuple[str, ...]:
    """The classes, domains in the order of the alphabet and ``general`` last."""
    names = {exemplar.label for exemplar in exemplars}
    return (*sorted(names - {GENERAL}), *sorted(names & {GENERAL}))


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RouterError(path, f"can't be read: {error}") from None
    if not isinstance(content, dict):
        raise RouterError(path, "empty or not a mapping")
    return cast(dict[str, Any], content)
