"""Fleet files for tests: a sound one without files behind it, and one fault at a time."""

from pathlib import Path

import pytest

from fleet.errors import FleetError
from fleet.load import parse_fleet

# engine openai: nothing on disk is looked for
SOUND = """\
version: 1
prefix: ai
bases:
  apertus: {engine: openai, url: "http://a", model: org/apertus}
  devstral: {engine: openai, url: "http://d", model: org/devstral}
adapters:
  power: {base: apertus, source: power-lora}
  python: {base: devstral, source: python-lora}
aliases:
  gpt-4o: ai
"""


def parse(text: str, path: Path = Path("adapters.yaml")):
    return parse_fleet(text, path)


def fault(text: str, path: Path = Path("adapters.yaml")) -> FleetError:
    with pytest.raises(FleetError) as caught:
        parse(text, path)
    return caught.value


def changed(old: str, new: str) -> str:
    assert SOUND.count(old) == 1
    return SOUND.replace(old, new)


def line_with(text: str, part: str) -> int:
    """The line, from 1, on which ``part`` first stands."""
    return next(at for at, line in enumerate(text.splitlines(), 1) if part in line)
