"""The weights file: numpy's npz, the same bytes for the same numbers. No pickles.

Refuses by name what it can't serve; the mend is always ``python -m router.fit``.
"""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from router import cues, features
from router.errors import RouterError
from router.head import Thresholds, Weights

FORMAT = 1
MEND = "make it with 'python -m router.fit'"


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
        "thresholds": asdict(weights.thresholds),
    }
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
            columns=used.astype(np.uint32),
            matrix=weights.matrix[used].astype(np.float16),
            idf=weights.idf[used].astype(np.float16),
            seen=weights.seen[used],
            bias=weights.bias.astype(np.float32),
        )
    partial.replace(path)


def load(path: Path) -> Weights:
    """Read a weights file. Raises RouterError with the mend."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
        about: dict[str, Any] = json.loads(arrays["about"].tobytes())
        _check(about, path)
        return _unpack(arrays, about)
    except FileNotFoundError:
        raise RouterError(path, f"no such file; {MEND}") from None
    except (OSError, KeyError, ValueError, EOFError, IndexError, zipfile.BadZipFile) as error:
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
    return Weights(
        labels=labels,
        matrix=matrix,
        bias=arrays["bias"],
        idf=idf,
        seen=seen,
        temperature=float(about["temperature"]),
        thresholds=Thresholds(**about["thresholds"]),
    )
