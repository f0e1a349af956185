"""SHA-256 of what answers: identity is content, never a name."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def digest_files(files: Iterable[Path]) -> str:
    """One hex digest over the names and contents of files, in the order of their names."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda f: f.name):
        content = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                content.update(chunk)
        total.update(f"{file.name}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()


def fingerprint(base_digest: str, adapter_digest: str | None) -> str:
    """OpenAI's ``system_fingerprint``: short digests of base and adapter."""
    return f"fp_{base_digest[:10]}_{adapter_digest[:10] if adapter_digest else 'base'}"
