"""SHA-256 of what answers: identity is content, never a name."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def digest_files(files: Iterable[Path]) -> str:
    """One hex digest over the names and contents of files, in the order of their names."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.name):
        content = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                content.update(chunk)
        _add(total, file.name, content.hexdigest())
    return total.hexdigest()


def digest_contents(digests: Mapping[str, str]) -> str:
    """The same of files already read: name -> hex digest of the content."""
    total = hashlib.sha256()
    for name in sorted(digests):
        _add(total, name, digests[name])
    return total.hexdigest()


def _add(total: Any, name: str, digest: str) -> None:
    total.update(f"{name}\0{digest}\n".encode())


def fingerprint(base_digest: str, adapter_digest: str | None) -> str:
    """OpenAI's ``system_fingerprint``: short digests of base and adapter."""
    return f"fp_{base_digest[:10]}_{adapter_digest[:10] if adapter_digest else 'base'}"
