"""The worker's metrics: vLLM's names for the engine, ours for batches and adapters.

Labels are configured names only. The gateway merges them into its own exposition.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.engine.observer import Stage
from worker.engine.row import Row
from worker.server.resident import Resident

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_ROWS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512)


class Tiers(Protocol):
    """Where adapters are; asked from the event loop."""

    def tier_of(self, digest: str) -> str: ...


class WorkerMetrics:
    """Implements the engine's Observer; ``render`` gives the Prometheus text."""

    def __init__(self, base: str) -> None:
        self.registry = CollectorRegistry()
        self._base = base
        model = ["model_name"]
        self._queue_time = Histogram(
            "vllm:request_queue_time_seconds",
            "Time a request waited for a free row.",
            model,
            buckets=_SECONDS,
            registry=self.registry,
        ).labels(base)
        self._rows = Histogram(
            "ailiance_batch_rows",
            "Rows in each decode step.",
            ["base"],
            buckets=_ROWS,
            registry=self.registry,
        ).labels(base)
        self._distinct = Histogram(
            "ailiance_batch_distinct_adapters",
            "Distinct adapters in each decode step; the bare base counts as one.",
            ["base"],
            buckets=_ROWS,
            registry=self.registry,
        ).labels(base)
        self._load_time = Histogram(
            "ailiance_adapter_load_seconds",
            "Time to read and check an adapter's files.",
            ["base"],
            buckets=_SECONDS,
            registry=self.registry,
        ).labels(base)
        self._requests = Counter(
            "ailiance_adapter_requests_total",
            "Requests by how they ended; adapter is empty for the bare base.",
            ["adapter", "base", "status"],
            registry=self.registry,
        )
        self._tokens = Counter(
            "ailiance_adapter_tokens_total",
            "Tokens by kind: prompt, cached, generated.",
            ["adapter", "base", "kind"],
            registry=self.registry,
        )
        self._cancelled = Counter(
            "ailiance_cancelled_total",
            "Requests whose client went away, by where they were.",
            ["base", "stage"],
            registry=self.registry,
        )
        self._slot_loads = Counter(
            "ailiance_adapter_slot_loads_total",
            "Times that an adapter was put into a slot.",
            ["base"],
            registry=self.registry,
        ).labels(base)
        self.start_at_zero([""])

    def start_at_zero(self, adapters: Iterable[str]) -> None:
        """These adapters may answer from now on."""
        # a series that appears with its first event hides that event from rate()
        for adapter in adapters:
            for status in ("stop", "length", "cancelled", "error"):
                self._requests.labels(adapter, self._base, status)
            for kind in ("prompt", "cached", "generated"):
                self._tokens.labels(adapter, self._base, kind)
        for stage in ("waiting", "prefill", "decode"):
            self._cancelled.labels(self._base, stage)

    def watch(self, rows: Callable[[], "EngineRows"], resident: Resident, tiers: Tiers) -> None:
        """Serve the gauges that are read off the engine when scraped."""
        self.start_at_zero(resident.adapters)
        self.registry.register(_EngineCollector(rows, resident, tiers))

    def on_admitted(self, row: Row, queued_s: float) -> None:
        self._queue_time.observe(queued_s)

    def on_step(self, rows: int, distinct_adapters: int) -> None:
        self._rows.observe(rows)
        self._distinct.observe(distinct_adapters)

    def on_ended(self, row: Row, status: str) -> None:
        adapter = row.request.adapter or "" if row.version is None else row.version.label
        self._requests.labels(adapter, self._base, status).inc()
        for kind, count in (
            ("prompt", len(row.request.prompt) - row.cached_tokens),
            ("cached", row.cached_tokens),
            ("generated", row.generated_tokens),
        ):
            self._tokens.labels(adapter, self._base, kind).inc(count)

    def on_cancelled(self, row: Row, stage: Stage) -> None:
        self._cancelled.labels(self._base, stage).inc()

    def on_slot_load(self) -> None:
        self._slot_loads.inc()

    def on_adapter_read(self, took_s: float) -> None:
        self._load_time.observe(took_s)

    def render(self) -> bytes:
        """The Prometheus text exposition."""
        return generate_latest(self.registry)


class EngineRows:
    """A reading of the engine for the gauges: who runs, who waits, how much KV."""

    def __init__(self, running: Iterable[Row], waiting: Iterable[Row], max_rows: int) -> None:
        self.running = list(running)
        self.waiting = list(waiting)
        self.max_rows = max_rows


class _EngineCollector(Collector):
    def __init__(self, rows: Callable[[], EngineRows], resident: Resident, tiers: Tiers) -> None:
        self._rows = rows
        self._resident = resident
        self._tiers = tiers

    def collect(self) -> Iterator[Metric]:
        rows, base = self._rows(), self._resident.base
        yield _gauge("vllm:num_requests_running", "Rows in the batch.", base, len(rows.running))
        yield _gauge("vllm:num_requests_waiting", "Requests queued.", base, len(rows.waiting))
        used = sum(len(r.request.prompt) + r.generated_tokens for r in rows.running)
        room = rows.max_rows * self._resident.max_model_len
        yield _gauge(
            "vllm:kv_cache_usage_perc",
            "Tokens of running rows as a part (0 to 1) of rows times context length.",
            base,
            used / room,
        )
        yield self._lora(rows)
        yield self._in_slots()

    def _in_slots(self) -> Metric:
        family = GaugeMetricFamily(
            "ailiance_adapter_resident",
            "1 while an adapter is in a slot, else 0.",
            labels=["adapter", "base"],
        )
        for name, version in list(self._resident.adapters.items()):
            in_slot = self._tiers.tier_of(version.digest) == "slot"
            family.add_metric([name, self._resident.base], float(in_slot))
        return family

    def _lora(self, rows: EngineRows) -> Metric:
        family = GaugeMetricFamily(
            "vllm:lora_requests_info",
            "Adapters of running and waiting requests; the value is the Unix time.",
            labels=["max_lora", "running_lora_adapters", "waiting_lora_adapters", "model_name"],
        )
        labels = [
            str(self._resident.slots),
            _names(rows.running),
            _names(rows.waiting),
            self._resident.base,
        ]
        family.add_metric(labels, time.time())
        return family


def _gauge(name: str, text: str, base: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text, labels=["model_name"])
    family.add_metric([base], value)
    return family


def _names(rows: list[Row]) -> str:
    """Of the rows' adapters; of a sum, those of its parts."""
    versions = [row.version for row in rows if row.version is not None]
    return ",".join(sorted({need.name for version in versions for need in version.needs}))
