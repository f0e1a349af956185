"""Conversations: counts by hand, what holds for any, files out of shape."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router import RouterError
from router.judging import Replay, conversations
from router.judging.replay import Talk, count
from tests.router.judging.fakes import FakeRouter, decision

NAMES = st.sampled_from(["a", "b", "general"])
TALKS = st.lists(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=6), max_size=5)


def write(folder: Path, text: str) -> Path:
    path = folder / "conversations.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_replay_with_the_whole_history(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
conversations:
  - {lang: en, turns: [{user: one, domain: a}, {user: two, domain: a}, {user: x, domain: b}]}
  - {lang: fr, turns: [{user: bonjour, domain: general}]}
""",
    )
    table = {text: decision("a", {"a": 1.0}, 0.0) for text in ("one", "x")}
    router = FakeRouter("ab", table)
    found = conversations(router, path)
    assert router.asked == [["one"], ["one", "two"], ["one", "two", "x"], ["bonjour"]]
    assert found == Replay(
        conversations=2,
        wholly_right=1,
        turns=4,
        right=2,
        stays=1,
        bounces=1,
        changes=1,
        changes_right=0,
    )
    assert (found.turn_accuracy, found.whole_share) == (0.5, 0.5)


def test_a_domain_that_stays_wrong_does_not_bounce() -> None:
    talk = Talk("en", ("x", "y", "z"), ("a", "a", "a"))
    assert count([talk], [["b", "b", "a"]]).bounces == 1


@settings(deadline=None)
@given(TALKS)
def test_counts_add_up(rows: list[list[tuple[str, str]]]) -> None:
    talks = [Talk("en", ("x",) * len(row), tuple(due for due, _ in row)) for row in rows]
    found = count(talks, [[got for _, got in row] for row in rows])
    perfect = count(talks, [list(talk.domains) for talk in talks])
    assert found.stays + found.changes == found.turns - found.conversations
    assert found.bounces <= found.stays
    assert found.changes_right <= found.changes
    assert found.wholly_right <= found.conversations == len(rows)
    assert (perfect.right, perfect.bounces) == (perfect.turns, 0)
    assert (perfect.changes_right, perfect.wholly_right) == (perfect.changes, len(rows))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conversations: [", "can't be read"),
        ("", "holds no conversations"),
        ("[]", "holds no conversations"),
        ("conversations: []", "holds no conversations"),
        ("conversations: [hello]", "conversation 1 is out of shape"),
        ("conversations: [{turns: 3}]", "conversation 1 is out of shape"),
        ("conversations: [{turns: [{user: x}]}]", "conversation 1 is out of shape"),
        ("conversations: [{turns: []}]", "conversation 1 lacks"),
        ("conversations: [{turns: [{user: 3, domain: a}]}]", "conversation 1 lacks"),
    ],
)
def test_files_out_of_shape_name_the_mend(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RouterError, match=message):
        conversations(FakeRouter("a", {}), write(tmp_path, text))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(RouterError, match="can't be read"):
        conversations(FakeRouter("a", {}), tmp_path / "none.yaml")
