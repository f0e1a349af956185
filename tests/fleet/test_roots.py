"""lora_roots, and sources that look like the hub's."""

from pathlib import Path

import pytest

from fleet.errors import FleetError
from fleet.load import parse_fleet
from fleet.schema import is_hub_id, is_pinned

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def parsed(folder: Path, text: str) -> list[Path]:
    (folder / "base").mkdir(exist_ok=True)
    head = "version: 1\nbases: {one: {model: base}}\n"
    return parse_fleet(head + text, folder / "adapters.yaml").roots


def test_the_files_own_folder_is_the_root(tmp_path: Path) -> None:
    assert parsed(tmp_path, "") == [tmp_path]


def test_roots_of_the_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert parsed(tmp_path, "lora_roots: [a, ./b]\n") == [tmp_path / "a", tmp_path / "b"]


@pytest.mark.parametrize("roots", ["[nowhere]", "[adapters.yaml]", "[]", "a", "[3]"])
def test_roots_that_are_no_folders(tmp_path: Path, roots: str) -> None:
    with pytest.raises(FleetError, match=r":3: lora_roots"):
        parsed(tmp_path, f"lora_roots: {roots}\n")


@pytest.mark.parametrize(
    ("source", "hub", "pinned"),
    [
        (f"org/name@{COMMIT}", True, True),
        ("org/name@main", True, False),
        (f"org/name@{COMMIT[:7]}", True, False),
        (f"org/name@{COMMIT.upper()}", True, False),
        ("org/name", False, False),
        ("./org/name@main", False, False),
        ("../name@main", False, False),
        ("a/b/c@main", False, False),
    ],
)
def test_hub_ids(source: str, hub: bool, pinned: bool) -> None:
    assert (is_hub_id(source), is_pinned(source)) == (hub, pinned)


def test_a_missing_folder_that_may_be_a_hub_id_says_how_to_write_one(tmp_path: Path) -> None:
    """An id without a revision is a path: no misspelt path reaches for the network."""
    text = "adapters: {x: {base: one, source: org/name}}\n"
    with pytest.raises(FleetError, match=r"or say which revision of the hub's: 'org/name@COMMIT'"):
        parsed(tmp_path, text)
    with pytest.raises(FleetError, match=r"correct the path$"):
        parsed(tmp_path, text.replace("org/name", "./org/name"))
