"""Paths that a client sent: inside the allowed folders after all links, or refused."""

from collections.abc import Sequence
from pathlib import Path

from fleet.errors import SourceError


def confined(path: str | Path, roots: Sequence[Path], name: str = "lora_path") -> Path:
    """The real path of ``path``, which is inside one of ``roots``; else raises SourceError.

    A relative path starts at the first root. ``~`` is a name like any other. The refusal
    says the same whether a file is there or not, and never where a link leads.
    """
    try:
        real = (roots[0] / path).resolve()
        inside = any(real.is_relative_to(root.resolve()) for root in roots)
    except (OSError, RuntimeError, ValueError):  # too long, links in a circle, a zero byte
        raise SourceError(name, "it can't be a path; correct it") from None
    if not inside:
        allowed = ", ".join(f"'{root}'" for root in roots)
        raise SourceError(
            name,
            f"the path is outside {allowed} once its links are followed; move the adapter "
            "there, or add its folder to 'lora_roots' in the fleet file",
        )
    return real
