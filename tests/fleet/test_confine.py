"""Paths that clients send stay inside the allowed folders, links followed."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.confine import confined
from fleet.errors import SourceError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    return tmp_path / "root"


def test_inside(root: Path) -> None:
    assert confined("a", [root]) == root / "a"
    assert confined(root / "a" / "new", [root]) == root / "a" / "new"
    assert confined(root, [root]) == root
    assert confined("~", [root]) == root / "~"


def test_of_several_roots_a_relative_path_starts_at_the_first(root: Path) -> None:
    outside = root.parent / "outside"
    assert confined("a", [root, outside]) == root / "a"
    assert confined(outside / "b", [root, outside]) == outside / "b"


@pytest.mark.parametrize("path", ["..", "a/../..", "/", "/etc/passwd", "../rooted", "../outside"])
def test_outside(root: Path, path: str) -> None:
    with pytest.raises(SourceError, match=r"lora_path: the path is outside .*lora_roots"):
        confined(path, [root])


def test_a_folder_whose_name_begins_like_a_root_is_outside(root: Path) -> None:
    with pytest.raises(SourceError, match="outside"):
        confined(f"{root}2", [root])


def test_links_are_followed_and_where_they_lead_is_not_told(root: Path) -> None:
    (root / "link").symlink_to(root.parent / "outside")
    (root / "near").symlink_to(root / "a")
    assert confined("near", [root]) == root / "a"
    for path in ("link", "link/deeper"):
        with pytest.raises(SourceError) as refused:
            confined(path, [root])
        assert "outside'" not in str(refused.value)


def test_a_root_may_be_a_link_itself(root: Path) -> None:
    (root.parent / "linked").symlink_to(root)
    assert confined("a", [root.parent / "linked"]) == root / "a"


def test_links_in_a_circle(root: Path) -> None:
    (root / "x").symlink_to("y")
    (root / "y").symlink_to("x")
    with pytest.raises(SourceError):
        confined("x/../..", [root])


@pytest.mark.parametrize("path", ["a\0b", "x" * 10_000])
def test_what_can_not_be_a_path(root: Path, path: str) -> None:
    try:
        confined(path, [root])
    except SourceError as error:
        said = str(error)
        assert "can't be a path" in said


@given(path=st.text(max_size=30))
def test_any_text_is_inside_or_refused(path: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.getbasetemp()
    try:
        found = confined(path, [root])
    except SourceError:
        return
    assert found.is_relative_to(root.resolve())
