"""The sum of several adapters as one adapter: their factors side by side along the rank.

``[A1 A2] @ [s1 B1; s2 B2]`` is the sum of the deltas. Refuses DoRA: its output is divided by
a norm of base and delta together, so there is no delta that could be added.
"""

from collections.abc import Sequence

import mlx.core as mx

from fleet.errors import SourceError
from worker.lora.files import AdapterFiles, Factors


def add_up(parts: Sequence[tuple[AdapterFiles, float]]) -> dict[str, Factors]:
    """Factors of the sum of scaled deltas. Raises SourceError for a part that is DoRA."""
    for adapter, _ in parts:
        if any(f.magnitude is not None for f in adapter.factors.values()):
            raise SourceError(
                adapter.name,
                "is DoRA, and can't be composed: it rescales the whole layer, base included, so "
                "it has no delta that could be added to another's; ask for it alone",
            )
    found: dict[str, list[tuple[Factors, float]]] = {}
    for adapter, scale in parts:
        for path, factors in adapter.factors.items():
            found.setdefault(path, []).append((factors, scale))
    return {path: _side_by_side(several) for path, several in found.items()}


def _side_by_side(several: Sequence[tuple[Factors, float]]) -> Factors:
    a = mx.concatenate([factors.a for factors, _ in several], axis=1)
    b = mx.concatenate([factors.b * (factors.scale * scale) for factors, scale in several])
    return Factors(a, b, 1.0, tied=_tied(several))


def _tied(several: Sequence[tuple[Factors, float]]) -> mx.array | None:
    """Each part as its own format has it: zero for those that leave tied logits alone."""
    if all(factors.tied is None for factors, _ in several):
        return None
    return mx.concatenate(
        [
            mx.zeros_like(factors.b)
            if factors.tied is None
            else factors.tied * (factors.scale * scale)
            for factors, scale in several
        ]
    )
