"""Safetensors files that lie: always one line, never a crash, never a wrong number."""

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.lora.formats.safetensors import FLOATING, Weights, open_weights

DATA = struct.pack("<6f", *range(6))
SOUND: dict[str, Any] = {
    "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "b": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
}


def packed(header: bytes, data: bytes = DATA, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def file_of(folder: Path, header: Any, data: bytes = DATA) -> Path:
    path = folder / "x.safetensors"
    path.write_bytes(packed(json.dumps(header).encode(), data))
    return path


def read(path: Path) -> dict[str, np.ndarray]:
    with open_weights(path) as weights:
        return dict(weights.read())


def changed(key: str, **fields: Any) -> Mapping[str, Any]:
    return SOUND | {key: SOUND[key] | fields}


def test_values_and_digest(tmp_path: Path) -> None:
    path = file_of(tmp_path, SOUND | {"__metadata__": {"format": "mlx"}})
    with open_weights(path) as weights:
        found = dict(weights.read())
        assert weights.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["a"].tolist() == [[0, 1], [2, 3]]
    assert found["b"].tolist() == [4, 5]


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32], ids=str)
def test_dtypes_as_mlx_saves_them(tmp_path: Path, dtype: mx.Dtype) -> None:
    value = (mx.random.normal((7, 5)) * 100).astype(dtype)
    path = tmp_path / "x.safetensors"
    mx.save_safetensors(str(path), {"v": value})
    assert np.array_equal(read(path)["v"], np.array(value.astype(mx.float32)))


def test_double_precision(tmp_path: Path) -> None:
    header = {"v": {"dtype": "F64", "shape": [2], "data_offsets": [0, 16]}}
    found = read(file_of(tmp_path, header, struct.pack("<2d", 0.5, 1e300)))["v"]
    assert found.tolist() == [0.5, np.inf]


LIES: dict[str, tuple[Any, str]] = {
    "overlap": (changed("b", data_offsets=[8, 16]), "overlaps another tensor"),
    "gap": (changed("b", data_offsets=[20, 28]), "leaves a gap"),
    "beyond the end": (changed("b", shape=[4], data_offsets=[16, 32]), "the file has 24"),
    "bytes left over": ({"a": SOUND["a"]}, "the file has 24"),
    "backwards": (changed("b", data_offsets=[24, 16]), "other bytes than its shape"),
    "too few bytes": (changed("b", shape=[3]), "other bytes than its shape"),
    "huge shape": (changed("b", shape=[1 << 60, 1 << 60]), "other bytes than its shape"),
    "negative": (changed("b", shape=[-2]), "lacks a sound"),
    "number as text": (changed("b", shape=["2"]), "lacks a sound"),
    "truth": (changed("b", shape=[True]), "lacks a sound"),
    "fraction": (changed("b", data_offsets=[16.0, 24.0]), "lacks a sound"),
    "three offsets": (changed("b", data_offsets=[16, 20, 24]), "lacks a sound"),
    "many dimensions": (changed("b", shape=[1] * 70), "lacks a sound"),
    "no dtype": ({"a": {"shape": [1]}}, "lacks a sound"),
    "unknown dtype": (changed("b", dtype="Q4"), "unknown dtype Q4"),
    "no entry": ({"a": 3}, "lacks a sound"),
    "list": ([], "no JSON object"),
    "null": (None, "no JSON object"),
}


@pytest.mark.parametrize(("header", "says"), LIES.values(), ids=LIES)
def test_header_that_lies(tmp_path: Path, header: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(file_of(tmp_path, header))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "too early"),
        (b"\1\2\3", "too early"),
        (packed(b"{}", b"", 1 << 63), "claims 9223372036854775808 bytes"),
        (packed(b"{}", b"", 3), "claims 3 bytes"),
        (packed(b"{", b""), "no JSON"),
        (packed(b"\xff\xff", b""), "not UTF-8"),
        (packed(b"[" * 100_000, b""), "nested too deep|no JSON"),
        (packed(b'{"a": 1, "a": 2}', b""), "names a tensor twice"),
    ],
    ids=range(8),
)
def test_file_that_is_no_safetensors(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read(path)


def test_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    path = file_of(tmp_path, SOUND)
    whole = path.read_bytes()
    with path.open("rb", buffering=0) as stream:
        weights = Weights(stream, len(whole))
        path.write_bytes(whole[:-8])
        with pytest.raises(ValueError, match="too early"):
            dict(weights.read())


def test_names_are_shown_on_one_line(tmp_path: Path) -> None:
    name = "a\nerror: all is well\x1b[2J" + "x" * 9999
    with pytest.raises(ValueError, match="lacks") as refused:
        read(file_of(tmp_path, {name: 3}))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*FLOATING, "I8", "BOOL", "?"]),
        "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=3),
        "data_offsets": st.lists(st.integers(-1, 32) | st.integers(), max_size=3),
    }
)


@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.builds(packed, st.binary(max_size=60), st.binary(max_size=60)),
        st.builds(
            lambda header, data, length: packed(json.dumps(header).encode(), data, length),
            JSON | st.dictionaries(st.text(max_size=4), ENTRIES | JSON, max_size=4),
            st.binary(max_size=64),
            st.none() | st.integers(0, 100) | st.integers(0, (1 << 64) - 1),
        ),
    )
)
def test_any_bytes_are_read_or_refused_with_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    path.write_bytes(content)
    said = ""
    try:
        with open_weights(path) as weights:
            sizes = {key: stored.end - stored.begin for key, stored in weights.tensors.items()}
        assert sum(sizes.values()) < len(content)
    except ValueError as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 400


@settings(deadline=None)
@given(st.data())
def test_one_flipped_byte_is_refused_or_changes_the_digest(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(packed(json.dumps(SOUND).encode()))
    sound = hashlib.sha256(content).hexdigest()
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    path.write_bytes(content)
    said = ""
    try:
        with open_weights(path) as weights:
            if all(stored.dtype in FLOATING for stored in weights.tensors.values()):
                dict(weights.read())
                assert weights.digest() != sound
    except ValueError as error:
        said = str(error)
    assert said.isprintable()
