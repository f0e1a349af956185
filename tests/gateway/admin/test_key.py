"""The admin key from a file or the environment: what is refused, what is warned of."""

import argparse
import os

import pytest

from gateway.admin.cli import add_to, key_of
from gateway.admin.key import KeyFault, read_key, usable
from gateway.cli import main

KEY = "0123456789abcdef0123456789abcdef"


def write(folder, content, mode=0o600):
    file = folder / "key"
    file.write_bytes(content)
    os.chmod(file, mode)
    return file


def test_a_key_is_read_without_the_blanks_around_it(tmp_path):
    given = read_key(write(tmp_path, f"\n{KEY}\r\n".encode()))
    assert (given.key, given.warnings) == (KEY, ())
    assert KEY not in repr(given)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_can_read_is_warned_of(tmp_path, mode):
    given = read_key(write(tmp_path, KEY.encode(), mode))
    assert given.key == KEY
    assert "chmod 600" in given.warnings[0]


@pytest.mark.parametrize(
    "content",
    [b"", b" \n", b"two words", b"two\nlines", "schl\u00fcssel".encode(), b"\xff", b"a\0b"],
)
def test_what_no_client_could_send_is_refused(tmp_path, content):
    with pytest.raises(KeyFault, match="key: "):
        read_key(write(tmp_path, content))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(KeyFault, match="correct the path"):
        read_key(tmp_path / "none")


def test_a_short_key_is_warned_of():
    given = usable("short", "HERE")
    assert "openssl" in given.warnings[0]
    assert "short'" not in given.warnings[0]


def options(*arguments):
    parser = argparse.ArgumentParser()
    add_to(parser)
    return parser.parse_args(arguments)


def test_the_file_comes_before_the_environment(tmp_path, capsys):
    file = write(tmp_path, KEY.encode(), 0o644)
    assert key_of(options("--admin-key-file", str(file)), "other") == KEY
    assert key_of(options(), KEY) == KEY
    assert key_of(options(), None) is None
    assert KEY not in capsys.readouterr().err


def test_an_empty_variable_is_no_key_by_accident():
    with pytest.raises(KeyFault, match="AILIANCE_ADMIN_KEY"):
        key_of(options(), "")


def test_serve_ends_at_once_where_the_key_cannot_be_read(tmp_path, capsys):
    assert main(["serve", "--admin-key-file", str(tmp_path / "none")]) == 78
    assert "can't be read" in capsys.readouterr().err
