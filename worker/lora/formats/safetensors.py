"""Read a safetensors file whose every byte is doubted: a header that lies is a ValueError.

Written out here because the file may come from a client: nothing is allocated on the word
of a header, no tensor is lazy, and the digest is of the very bytes that were read. Plain
numpy, so any thread may call it. The format: 8 bytes of header length, a JSON header, data
without gaps or overlaps (https://github.com/huggingface/safetensors, README, 0.8).
"""

import hashlib
import json
import math
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from worker.lora.formats.naming import shown

Floats = NDArray[np.float32]

MAX_HEADER_BYTES = 100_000_000
_LENGTH_BYTES = 8
_ITEM_BYTES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}


def _bfloat16(raw: bytes) -> Floats:
    # the upper half of a float32
    return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)


_DECODE: Mapping[str, Callable[[bytes], NDArray[Any]]] = {
    "F16": lambda raw: np.frombuffer(raw, "<f2"),
    "BF16": _bfloat16,
    "F32": lambda raw: np.frombuffer(raw, "<f4"),
    "F64": lambda raw: np.frombuffer(raw, "<f8"),
}
FLOATING = tuple(_DECODE)


@dataclass(frozen=True)
class Stored:
    """One tensor as the header describes it; offsets count from the start of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Weights:
    """An open file whose header is sound; ``tensors`` are in the order of their data."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        head = _exactly(stream, _LENGTH_BYTES)
        length = int.from_bytes(head, "little")
        if length > min(MAX_HEADER_BYTES, size - _LENGTH_BYTES):
            raise ValueError(f"its header claims {length} bytes, the file has {size}")
        header = _exactly(stream, length)
        self.tensors = _described(header, size - _LENGTH_BYTES - length)
        self._stream = stream
        self._sum = hashlib.sha256(head + header)

    def read(self) -> Iterator[tuple[str, Floats]]:
        """Each tensor in float32, once; the digest is complete after the last."""
        for key, stored in self.tensors.items():
            raw = _exactly(self._stream, stored.end - stored.begin)
            self._sum.update(raw)
            # what float32 can't hold becomes infinite, and is refused as such
            with np.errstate(over="ignore"):
                values = _DECODE[stored.dtype](raw).astype(np.float32)
            yield key, values.reshape(stored.shape)

    def digest(self) -> str:
        """SHA-256 of the file's content, after ``read`` has come to its end."""
        return self._sum.hexdigest()


@contextmanager
def open_weights(path: Path) -> Generator[Weights]:
    """The file at ``path``. Raises ValueError with what is wrong with it, or OSError."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        yield Weights(stream, size)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    raw = stream.read(count)
    if len(raw) != count:
        raise ValueError(f"it ends {count - len(raw)} bytes too early")
    return raw


def _described(header: bytes, data_bytes: int) -> dict[str, Stored]:
    """The header's tensors by offset; they fill the data exactly."""
    tensors = {
        key: _stored(key, entry) for key, entry in _parsed(header).items() if key != "__metadata__"
    }
    in_order = dict(sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)))
    at = 0
    for key, stored in in_order.items():
        if stored.begin != at:
            what = "overlaps another tensor" if stored.begin < at else "leaves a gap before it"
            raise ValueError(f"tensor {shown(key)} {what}")
        at = stored.end
    if at != data_bytes:
        raise ValueError(f"its header describes {at} bytes of data, the file has {data_bytes}")
    return in_order


def _parsed(header: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(header.decode("utf-8"), object_pairs_hook=_without_twins)
    except RecursionError:
        raise ValueError("its header is nested too deep") from None
    except UnicodeDecodeError:
        raise ValueError("its header is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"its header is no JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise ValueError("its header is no JSON object")
    return cast(dict[str, Any], parsed)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("its header names a tensor twice")
    return found


def _stored(key: str, entry: Any) -> Stored:
    fields = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
    dtype = fields.get("dtype")
    shape, offsets = _counts(fields.get("shape")), _counts(fields.get("data_offsets"))
    if not isinstance(dtype, str) or shape is None or offsets is None or len(offsets) != 2:
        raise ValueError(f"tensor {shown(key)} lacks a sound dtype, shape or data_offsets")
    if dtype not in _ITEM_BYTES:
        raise ValueError(f"tensor {shown(key)} has the unknown dtype {shown(dtype)}")
    begin, end = offsets
    if end - begin != math.prod(shape) * _ITEM_BYTES[dtype]:
        raise ValueError(f"tensor {shown(key)} has other bytes than its shape and dtype need")
    return Stored(dtype, shape, begin, end)


def _counts(value: Any) -> tuple[int, ...] | None:
    """A short list of natural numbers that a file can have, else None."""
    if not isinstance(value, list) or len(cast(list[Any], value)) > 8:
        return None
    numbers = cast(list[Any], value)
    good = all(type(n) is int and 0 <= n < 1 << 62 for n in numbers)
    return tuple(numbers) if good else None
