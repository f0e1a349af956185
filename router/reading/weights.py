"""The weights file: numpy's npz, the same bytes for the same numbers. No pickles.

Refuses by name what it can't serve; the mend is always ``ailiance router fit``.
"""

import io
import json
import zipfile
import zlib
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np

from router.decision import GENERAL
from router.errors import RouterError
from router.policy import Thresholds
from router.reading import cues, features
from router.reading.features import Floats
from router.reading.head import FollowUp, Outlier, SentenceHead, Weights

FORMAT = 2
MEND = "make it with 'ailiance router fit'"


def save(weights: Weights, path: Path) -> None:
    """Write atomically; only the columns that have weights, as float16."""
    used = np.flatnonzero(weights.seen | (np.abs(weights.matrix).max(axis=1) > 0))
    about = {
        "format": FORMAT,
        "labels": weights.labels,
        "buckets": features.BUCKETS,
        "cues": cues.NAMES,
        "idf_unseen": float(weights.idf.max()),
        "temperature": weights.temperature,
        "outlier_bias": weights.outlier.bias,
        "follow_up_bias": weights.follow_up.bias,
        "thresholds": asdict(weights.thresholds),
        "sentence": _about_sentence(weights.sentence),
    }
    arrays = {
        "about": _packed(about),
        "exemplars": _packed(weights.exemplars),
        "words": _packed(weights.words),
        "columns": used.astype(np.uint32),
        "matrix": weights.matrix[used].astype(np.float16),
        "idf": weights.idf[used].astype(np.float16),
        "seen": weights.seen[used],
        "bias": weights.bias.astype(np.float32),
        "outlier": weights.outlier.weights.astype(np.float32),
        "follow_up": weights.follow_up.weights[used].astype(np.float16),
    }
    if weights.sentence is not None:
        arrays["sentence_matrix"] = weights.sentence.matrix.astype(np.float32)
        arrays["sentence_bias"] = weights.sentence.bias.astype(np.float32)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **cast(dict[str, Any], arrays))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RouterError(path, f"can't be written ({error.strerror})") from None


def load(path: Path) -> tuple[Weights, str]:
    """The weights of a file, and the SHA-256 of its bytes. Raises RouterError with the mend."""
    try:
        content = path.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
        about: dict[str, Any] = json.loads(arrays["about"].tobytes())
        _check(about, path)
        return _unpack(arrays, about), sha256(content).hexdigest()
    except FileNotFoundError:
        raise RouterError(path, f"no such file; {MEND}") from None
    except (
        *(OSError, KeyError, ValueError, EOFError, IndexError, TypeError),
        *(zipfile.BadZipFile, zlib.error, MemoryError, AttributeError, NotImplementedError),
    ) as error:
        raise RouterError(path, f"not a router weights file ({error}); {MEND}") from None


def _check(about: dict[str, Any], path: Path) -> None:
    if about.get("format") != FORMAT:
        raise RouterError(path, f"format {about.get('format')}, this router reads {FORMAT}; {MEND}")
    if about["buckets"] != features.BUCKETS or tuple(about["cues"]) != cues.NAMES:
        raise RouterError(path, f"made for other features than this router's; {MEND}")


def _unpack(arrays: dict[str, Any], about: dict[str, Any]) -> Weights:
    columns, labels = arrays["columns"], tuple(about["labels"])
    matrix = np.zeros((features.WIDTH, len(labels)), np.float32)
    matrix[columns] = arrays["matrix"]
    idf = np.full(features.WIDTH, about["idf_unseen"], np.float32)
    idf[columns] = arrays["idf"]
    seen = np.zeros(features.WIDTH, np.bool_)
    seen[columns] = arrays["seen"]
    follow_up = np.zeros(features.WIDTH, np.float32)
    follow_up[columns] = arrays["follow_up"]
    exemplars = cast(list[list[str]], json.loads(arrays["exemplars"].tobytes()))
    _check_shapes(arrays, labels)
    return Weights(
        labels=labels,
        matrix=matrix,
        bias=arrays["bias"],
        idf=idf,
        seen=seen,
        temperature=float(about["temperature"]),
        outlier=Outlier(arrays["outlier"], float(about["outlier_bias"])),
        thresholds=Thresholds(**about["thresholds"]),
        follow_up=FollowUp(follow_up, float(about["follow_up_bias"])),
        exemplars=tuple((label, text) for label, text in exemplars),
        words=tuple(cast(list[str], json.loads(arrays["words"].tobytes()))),
        sentence=_sentence(about["sentence"], arrays),
    )


def _check_shapes(arrays: dict[str, Any], labels: tuple[str, ...]) -> None:
    """Raises ValueError: with any other shape, each request would fail."""
    rows, columns = len(labels), len(arrays["columns"])
    wanted = {
        "matrix": (columns, rows),
        "bias": (rows,),
        "idf": (columns,),
        "seen": (columns,),
        "follow_up": (columns,),
        "outlier": (5,),
    }
    if "sentence_matrix" in arrays:
        wanted |= {
            "sentence_matrix": (len(arrays["sentence_matrix"]), rows),
            "sentence_bias": (rows,),
        }
    wrong = [name for name, shape in wanted.items() if arrays[name].shape != shape]
    if wrong or rows < 2 or labels[-1] != GENERAL:
        raise ValueError(f"wrong shapes or labels: {', '.join(wrong) or labels}")


def _about_sentence(head: SentenceHead | None) -> dict[str, Any] | None:
    if head is None:
        return None
    return {"source": head.source, "digest": head.digest, "temperature": head.temperature}


def _sentence(about: dict[str, Any] | None, arrays: dict[str, Any]) -> SentenceHead | None:
    if about is None:
        return None
    matrix: Floats = arrays["sentence_matrix"]
    return SentenceHead(matrix=matrix, bias=arrays["sentence_bias"], **about)


def _packed(value: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), np.uint8)
