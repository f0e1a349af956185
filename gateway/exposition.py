"""One ``/metrics`` exposition out of the gateway's registry and the workers' texts.

Prometheus refuses a family that stands twice, so families of one name are merged. Only
our three families pass: process metrics of several workers would collide.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIXES = ("vllm:", "ailiance_", "gen_ai_")


class _Merged:
    """A collector over families that are already there."""

    def __init__(self, families: dict[str, Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families.values()


def render(registry: CollectorRegistry, worker_texts: Iterable[str]) -> bytes:
    """The whole exposition; a worker text that can't be parsed is left out."""
    families = {family.name: family for family in registry.collect()}
    for text in worker_texts:
        try:
            found = list(text_string_to_metric_families(text))
        except ValueError:
            continue
        for family in found:
            _merge(families, family)
    for family in families.values():
        # when a series began is noise in the text format: three gauges a histogram
        family.samples = [s for s in family.samples if not s.name.endswith("_created")]
    merged = CollectorRegistry()
    merged.register(_Merged(families))  # pyright: ignore[reportArgumentType]
    return generate_latest(merged)


def _merge(families: dict[str, Metric], family: Metric) -> None:
    if not family.name.startswith(PREFIXES) or family.name.endswith("_created"):
        return
    known = families.setdefault(family.name, family)
    if known is family or known.type != family.type:
        return
    seen = {(s.name, tuple(sorted(s.labels.items()))) for s in known.samples}
    known.samples += [
        s for s in family.samples if (s.name, tuple(sorted(s.labels.items()))) not in seen
    ]
