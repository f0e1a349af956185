"""The gateway's metrics, in a registry of their own. Labels are configured names only.

Sources: OpenTelemetry's generative AI metrics (names, labels, buckets); vLLM 0.11's names
and buckets, so that its dashboards work; ours start with ``ailiance_``.
"""

from collections.abc import Mapping
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.clock import now_s
from wire.errors import AilianceError, UpstreamError

Operation = Literal["chat", "text_completion", "embeddings"]

PROVIDER = "ailiance"
UNKNOWN = "unknown"

DURATION_BUCKETS_S = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
FIRST_TOKEN_BUCKETS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
PER_TOKEN_BUCKETS_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
TOKEN_BUCKETS = tuple(4**n for n in range(14))
VLLM_FIRST_TOKEN_BUCKETS_S = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5),
    *(10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
VLLM_LATENCY_BUCKETS_S = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0),
    *(240.0, 480.0, 960.0, 1920.0, 7680.0),
)
SHORT_BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0),
)


def error_type_of(error: AilianceError) -> str:
    """The label of an error: its code if it is one of ours, never an upstream's text."""
    if isinstance(error, UpstreamError):
        return label_of_code(error.error.get("code"))
    return error.code or error.type


def label_of_code(code: object) -> str:
    return code if isinstance(code, str) and code in OUR_CODES else "upstream_error"


def _codes(root: type[AilianceError]) -> set[str]:
    own = {root.default_code} if root.default_code else set[str]()
    return own.union(*(_codes(child) for child in root.__subclasses__()))


OUR_CODES = frozenset(_codes(AilianceError))


class Metrics:
    """Every metric of the gateway process; one instance per app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        models = (
            *("gen_ai_operation_name", "gen_ai_provider_name"),
            *("gen_ai_request_model", "gen_ai_response_model"),
        )
        self.duration = self._histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from the request to the last token, or to the failure.",
            (*models, "error_type"),
            DURATION_BUCKETS_S,
        )
        self.first_token = self._histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time from a streamed request to its first token.",
            models,
            FIRST_TOKEN_BUCKETS_S,
        )
        self.per_token = self._histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time per output token after the first, of a streamed request.",
            models,
            PER_TOKEN_BUCKETS_S,
        )
        self.tokens = self._histogram(
            "gen_ai_client_token_usage",
            "Tokens of a request, by the model's own tokenizer.",
            (*models, "gen_ai_token_type"),
            TOKEN_BUCKETS,
        )
        self.vllm_first_token = self._histogram(
            "vllm:time_to_first_token_seconds",
            "Time from a streamed request to its first token.",
            ("model_name",),
            VLLM_FIRST_TOKEN_BUCKETS_S,
        )
        self.vllm_latency = self._histogram(
            "vllm:e2e_request_latency_seconds",
            "Time from a request to the end of its answer.",
            ("model_name",),
            VLLM_LATENCY_BUCKETS_S,
        )
        self.classification = self._histogram(
            "ailiance_classification_seconds",
            "Time the router took to read a request.",
            (),
            SHORT_BUCKETS_S,
        )
        self.overhead = self._histogram(
            "ailiance_overhead_seconds",
            "Time the gateway itself added before the first byte of an answer.",
            (),
            SHORT_BUCKETS_S,
        )
        self.decisions = Counter(
            "ailiance_route_decisions_total",
            "Routes taken.",
            ("domain", "reason"),
            registry=self.registry,
        )
        self.restarts = Counter(
            "ailiance_worker_restarts_total",
            "Worker processes started again after they ended.",
            ("base",),
            registry=self.registry,
        )

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)


class Observation:
    """Measures one request; ``end`` counts it once, whatever ended it."""

    def __init__(
        self,
        metrics: Metrics,
        operation: Operation,
        start_s: float,
        known_names: frozenset[str],
    ) -> None:
        self._metrics = metrics
        self._known_names = known_names
        self._operation = operation
        self._start_s = start_s
        self._first_s: float | None = None
        self._ended = False
        # configured names only; set once they are known to be such
        self.request_model = UNKNOWN
        self.response_model = UNKNOWN
        self.base: str | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None

    def on_answered(self, model: str | None) -> None:
        """The public name of what answered; an upstream's own invention is no label."""
        if model in self._known_names:
            self.response_model = str(model)

    def on_first_token(self) -> None:
        self._first_s = now_s()

    def on_usage(self, usage: Mapping[str, Any]) -> None:
        """The counts of an upstream, which may be anything: what is no number counts nothing."""
        counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
        self.input_tokens, self.output_tokens = (
            count if isinstance(count, int) else None for count in counts
        )

    def end(self, error_type: str = "") -> None:
        """Count the request; ``error_type`` is empty on success, as OpenTelemetry has it."""
        if self._ended:
            return
        self._ended = True
        end_s, metrics = now_s(), self._metrics
        models = (self._operation, PROVIDER, self.request_model, self.response_model)
        metrics.duration.labels(*models, error_type).observe(end_s - self._start_s)
        if self.base is None:
            return
        if not error_type:
            metrics.vllm_latency.labels(self.base).observe(end_s - self._start_s)
        if self._first_s is not None:
            metrics.first_token.labels(*models).observe(self._first_s - self._start_s)
            metrics.vllm_first_token.labels(self.base).observe(self._first_s - self._start_s)
            if self.output_tokens is not None and self.output_tokens > 1:
                per_token_s = (end_s - self._first_s) / (self.output_tokens - 1)
                metrics.per_token.labels(*models).observe(per_token_s)
        for kind, count in (("input", self.input_tokens), ("output", self.output_tokens)):
            if count is not None:
                metrics.tokens.labels(*models, kind).observe(count)
