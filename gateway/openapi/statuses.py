"""The error envelope under each status: what it means here, and which headers come with it."""

from typing import Any

from gateway.openapi.facts import ErrorEnvelope
from gateway.openapi.headers import ALWAYS, RETRY, ROUTED
from gateway.openapi.operation import JSON, Schema
from gateway.openapi.schemas import ref
from wire.errors import (
    AilianceError,
    EngineFailed,
    InvalidApiKey,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RequestTooLarge,
    UpstreamFailed,
    WorkerUnavailable,
)

NAMES = {
    400: "BadRequest",
    401: "Unauthorised",
    403: "Forbidden",
    404: "NotFound",
    413: "TooLarge",
    500: "Failed",
    502: "UpstreamFailed",
    503: "Unavailable",
}
OTHER = "Other"

_MEANINGS: dict[int, str] = {
    400: "A field is unknown, not supported, wrong, or at odds with another; `param` names it.",
    401: "The admin key is wrong or missing.",
    403: "Without an admin key, only programs on the gateway's own machine may do this.",
    404: "Nothing is here by that name; for a model the message has the nearest one.",
    413: "The body is too large.",
    500: "A fault of this server, or of its engine.",
    502: "What should answer did not, or not in a form that can be passed on.",
    503: "The base is starting, restarting, or its queue is full: try again after `retry-after`.",
}
_EXAMPLES: dict[int, AilianceError] = {
    400: InvalidRequest(
        "temperature: Input should be less than or equal to 2", param="temperature"
    ),
    401: InvalidApiKey("the admin key is wrong or missing"),
    403: PermissionDenied("without an admin key adapters are administered on loopback only"),
    404: ModelNotFound("The model 'gpt-9' does not exist", param="model"),
    413: RequestTooLarge("the body is larger than 1048576 bytes"),
    500: EngineFailed("the engine failed; the request may be sent again"),
    502: UpstreamFailed("base 'apertus' did not answer in time"),
    503: WorkerUnavailable("base 'apertus' is starting; try again"),
}


def headers(names: tuple[str, ...]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def responses() -> dict[str, Schema]:
    """``components/responses``: one a status, and one for those of other servers."""
    found = {name: _response(status) for status, name in NAMES.items()}
    text = (
        "Any other status of a base that is served elsewhere (`engine: openai`), passed on with "
        "its envelope. Its 401 and 403 become 502."
    )
    return found | {OTHER: _enveloped(text, (*ROUTED, *RETRY), None)}


def refusals(statuses: tuple[int, ...], *, passes_on: bool) -> Schema:
    """The part of an operation's ``responses`` that is errors."""
    found: Schema = {str(s): _ref(NAMES[s]) for s in statuses}
    return found | {"default": _ref(OTHER)} if passes_on else found


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/responses/{name}"}


def _response(status: int) -> Schema:
    more = (*ROUTED, *RETRY) if status == 503 else ROUTED if status >= 500 else ()
    return _enveloped(_MEANINGS[status], more, _EXAMPLES[status].envelope())


def _enveloped(text: str, more: tuple[str, ...], example: Any) -> Schema:
    content: Schema = {"schema": ref(ErrorEnvelope)}
    if example is not None:
        content["example"] = example
    return {
        "description": text,
        "headers": headers((*ALWAYS, *more)),
        "content": {JSON: content},
    }
