"""The file of run-time adapters: written whole, read back, damaged, not writable."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.schema import NAME
from gateway.admin.kept import Kept
from gateway.admin.runtime import RuntimeAdapter

ENTRIES = [RuntimeAdapter("b", "one", "/srv/b"), RuntimeAdapter("a", "two", "/srv/\u00e4", "emc")]
names = st.from_regex(NAME, fullmatch=True)


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "state", tmp_path / "adapters.yaml")


def test_nothing_was_written_yet(kept):
    assert kept.read() == []
    assert not kept.file.exists()


def test_what_is_written_is_read_in_order(kept):
    kept.write(ENTRIES)
    assert kept.read() == ENTRIES
    assert os.stat(kept.file).st_mode & 0o777 == 0o600
    assert json.loads(kept.file.read_text("utf-8"))["version"] == 1
    kept.write([])
    assert kept.read() == []
    assert [file.name for file in kept.file.parent.iterdir()] == [kept.file.name]


@given(
    st.lists(
        st.builds(RuntimeAdapter, names, names, st.text(min_size=1), st.none() | names),
    )
)
def test_any_adapters(tmp_path_factory, entries):
    kept = Kept(tmp_path_factory.mktemp("state"), tmp_path_factory.getbasetemp())
    kept.write(entries)
    assert kept.read() == entries


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[]", b"\xff", b'{"version": 2, "fleet": "", "adapters": []}'),
        b'{"version": 1, "fleet": "", "adapters": [{"name": "A b", "base": "x", "source": "y"}]}',
    ],
)
def test_a_damaged_file_is_moved_aside(kept, caplog, content):
    kept.file.parent.mkdir()
    kept.file.write_bytes(content)
    assert kept.read() == []
    assert not kept.file.exists()
    assert kept.file.with_name(kept.file.name + ".damaged").read_bytes() == content
    assert "can't be read as run-time adapters" in caplog.text
    kept.write(ENTRIES)
    assert kept.read() == ENTRIES


def test_where_nothing_can_be_written_that_is_said(tmp_path, caplog):
    (tmp_path / "state").write_text("a file")
    kept = Kept(tmp_path / "state", tmp_path / "adapters.yaml")
    kept.write(ENTRIES)
    assert "are not kept over a restart" in caplog.text
    assert kept.read() == []


def test_each_fleet_file_has_one_of_its_own(tmp_path):
    one, other = (Kept(tmp_path, tmp_path / name) for name in ("a.yaml", "b.yaml"))
    one.write(ENTRIES)
    assert other.read() == []
