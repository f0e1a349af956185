"""Identity is content: not the folder, not the time, but every byte."""

import hashlib

import pytest

from fleet.digest import digest_contents, digest_files, fingerprint

FILES = {"adapter_config.json": b"{}", "adapters.safetensors": b"\x00\x01" * 1000}


def write(folder, files=FILES):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


def test_the_same_content_elsewhere_has_the_same_digest(tmp_path):
    assert digest_files(write(tmp_path / "a")) == digest_files(write(tmp_path / "b" / "c"))


def test_contents_that_were_read_already_have_the_digest_of_their_files(tmp_path):
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    assert digest_contents(digests) == digest_files(write(tmp_path))


def test_the_order_of_the_files_does_not_matter(tmp_path):
    files = write(tmp_path)
    assert digest_files(files) == digest_files(list(reversed(files)))
    assert digest_files(iter(files)) == digest_files(files)


@pytest.mark.parametrize("at", [0, 999, 1999])
def test_one_changed_byte_changes_it(tmp_path, at):
    before = digest_files(write(tmp_path))
    content = bytearray(FILES["adapters.safetensors"])
    content[at] ^= 1
    after = digest_files(write(tmp_path, FILES | {"adapters.safetensors": bytes(content)}))
    assert after != before
    assert digest_files(write(tmp_path)) == before


def test_every_file_counts_and_so_does_its_name(tmp_path):
    files = write(tmp_path / "a")
    whole = digest_files(files)
    assert digest_files(files[:1]) != whole
    other = write(tmp_path / "b", {"adapter_config.json": b"{}", "x": b"\x00\x01" * 1000})
    assert digest_files(other) != whole


def test_bytes_do_not_move_between_files(tmp_path):
    one = write(tmp_path / "a", {"x": b"ab", "y": b"c"})
    two = write(tmp_path / "b", {"x": b"a", "y": b"bc"})
    assert digest_files(one) != digest_files(two)


def test_a_file_of_several_chunks_is_read_to_its_end(tmp_path):
    content = b"a" * ((1 << 20) + 1)
    (tmp_path / "big").write_bytes(content)
    line = f"big\0{hashlib.sha256(content).hexdigest()}\n".encode()
    assert digest_files([tmp_path / "big"]) == hashlib.sha256(line).hexdigest()


def test_the_fingerprint_names_base_and_adapter():
    base, adapter = "a" * 64, "b" * 64
    assert fingerprint(base, adapter) == "fp_aaaaaaaaaa_bbbbbbbbbb"
    assert fingerprint(base, None) == "fp_aaaaaaaaaa_base"
