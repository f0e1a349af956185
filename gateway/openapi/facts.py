"""Answers that no model generates, for the document: models, routes, health, tokens, errors."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from fleet.cards import Card
from fleet.cards.model import CardEvaluation
from fleet.evidence.results import Evaluation
from gateway.openapi.answers import WARNING, Lacking
from gateway.worker_state import Phase
from router.decision import Reason


class ErrorDetail(BaseModel):
    message: str = Field(description="What is wrong, and how to mend it.")
    type: str | None
    param: str | None = Field(description="The field it is about, such as `messages[0].content`.")
    code: str | int | None


class ErrorEnvelope(BaseModel):
    """Every error is this, whatever its status. After the first byte of a stream it is an event."""

    error: ErrorDetail


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    root: str = Field(description="What stands behind it: a model, or an adapter's source.")
    parent: str | None = Field(description="Public name of its base; null for a base.")
    max_model_len: int | None = Field(description="Context in tokens; null while not known.")


class FleetResult(Evaluation):
    """A result in the fleet file; docs/evidence.md has the keys."""

    of_this_version: bool | None = Field(
        description="Whether its `digest` is that of the adapter served; null where one of the two "
        "is not known. `false`: it does not count for a rule."
    )


class ModelEvaluation(BaseModel):
    card: CardEvaluation | None = Field(description="What the card states.")
    fleet: list[FleetResult] = Field(description="The results in the fleet file.")


class ModelDetails(Model):
    """One name, with what its files and its card say; null where nothing states it."""

    license: str | None = Field(description="By its card.")
    base_model: str | None = Field(description="The model that its base is.")
    revision: str | None = Field(description="Pinned revision of the source on the hub.")
    digest: str | None = Field(description="SHA-256 of the content, as the worker reports it.")
    evaluation: ModelEvaluation | None
    risk_class: str | None = Field(description="EU AI Act, by its card.")


class ModelCard(Card):
    """A card, field by field; null where it is silent. docs/cards.md describes it."""

    id: str
    object: Literal["model.card"]


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[Model]


class AdapterCheck(BaseModel):
    """What `ailiance check` measures; null where it has no examples beside it."""

    status: Literal["ok", "worse", "loops", "refused"]
    reason: str | None
    examples: int
    perplexity: float | None = Field(description="On its own examples, a token.")
    base_perplexity: float | None = Field(description="The same of the bare base.")
    loop: str | None = Field(description="What an answer repeats without an end.")


class AdapterFacts(BaseModel):
    """One adapter. The part from `format` on is its worker's; null where that does not say."""

    name: str
    object: Literal["adapter"]
    model: str | None = Field(description="Its public name; null while it is not served.")
    base: str
    source: str = Field(description="A folder, or `org/name@REVISION`.")
    origin: Literal["file", "runtime"] = Field(description="The fleet file, or a client's load.")
    domain: str | None
    status: Literal["active", "quarantined", "unavailable"]
    reason: str | None = Field(description="Why, where it is not active.")
    evidence: dict[str, str] | None = Field(
        description="The `rule` that its results don't meet, and what was `found`."
    )
    evaluation: list[FleetResult] = Field(description="The results in the fleet file.")
    state: Literal["loaded", "missing", "unknown", "external"] = Field(
        description="By its worker, now; `unknown`: it does not answer; `external`: it is none of "
        "ours, and is not asked."
    )
    format: str | None
    rank: int | None
    targets: list[str] | None = Field(description="Names of the layers that it changes.")
    layers: int | None
    bytes: int | None
    digest: str | None = Field(description="SHA-256 of its content.")
    effect: float | None = Field(description="Largest |delta logit| that the probe measured.")
    tier: str | None = Field(description="`slot`, `resident` or `disk`.")
    pinned: bool | None
    check: AdapterCheck | None = Field(description="Null until `check` has asked for it.")


class AdapterList(BaseModel):
    object: Literal["list"]
    data: list[AdapterFacts]


class Verdict(BaseModel):
    domain: str | None
    confidence: float
    reason: Reason
    outlier: float = Field(description="Probability that no domain claims the text.")


class Rule(BaseModel):
    name: str
    sentence: str


class Neighbour(BaseModel):
    label: str
    text: str
    likeness: float


class Change(BaseModel):
    change: str
    domain: str | None
    reason: str


class Explanation(BaseModel):
    """Why the router decided so; docs/router.md has the details."""

    decision: Verdict
    router: str
    rule: Rule
    measured_on: str
    rules: list[dict[str, Any]] = Field(description="Each numbered rule, and whether it held.")
    scored_on: str
    scores: dict[str, float]
    thresholds: dict[str, Any]
    signals: dict[str, float]
    turns: list[dict[str, Any]]
    read_as: dict[str, str] = Field(description="Mistyped words, and what they were read as.")
    terms: dict[str, Any] | None = Field(description="The words for and against.")
    nearest: list[Neighbour]
    changes: list[Change] = Field(description="What would change the decision.")


class RouteAnswer(BaseModel):
    """Where a request would go."""

    model: str
    base: str
    adapter: str | None = Field(description="null: the bare base.")
    domain: str | None
    confidence: float | None
    reason: Reason
    evidence: Lacking | None = Field(None, description="With reason `evidence` only.")
    warning: str | None = Field(None, description=WARNING)
    scores: dict[str, float] = Field(description="Of each domain and `general`; empty if explicit.")
    router: str | None = Field(description="Digest of the router's weights; null if explicit.")
    explanation: Explanation | None = Field(
        None, description="With `explain` only; null for an explicit name."
    )


class Health(BaseModel):
    status: Literal["ok", "starting", "degraded"]
    bases: dict[str, Phase | Literal["external"]] = Field(
        description="Phase of each worker; `external` bases are not asked."
    )


class Tokens(BaseModel):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class Text(BaseModel):
    prompt: str
