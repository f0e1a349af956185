"""Request parameters and response headers, described once and referred to by name."""

from gateway.context import MAX_REQUEST_ID
from gateway.openapi.operation import Schema

TEXT: Schema = {"type": "string"}
SESSION = (
    "The client's name for its conversation: a follow-up without a topic of its own stays with the "
    "conversation's domain. The `Authorization` header is part of the name. Believed in the order "
    "`x-session-id`, `x-conversation-id`, `x-openwebui-chat-id`."
)


def _parameter(where: str, name: str, description: str, **schema: object) -> Schema:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": description,
        "schema": TEXT | schema,
    }


PARAMETERS: dict[str, Schema] = {
    name: _parameter("header", name, text)
    for name, text in {
        "x-request-id": f"The request's id, if it is printable ASCII of at most {MAX_REQUEST_ID} "
        "characters; else the gateway makes one.",
        "traceparent": "W3C trace context; passed on to what answers.",
        "tracestate": "W3C trace context; passed on to what answers.",
        "x-session-id": SESSION,
        "x-conversation-id": SESSION,
        "x-openwebui-chat-id": SESSION,
    }.items()
} | {
    "model": _parameter(
        "path",
        "model",
        "A name of `GET /v1/models`, or `base:adapter`. Names of an alias may hold slashes.",
    ),
    "response_id": _parameter("path", "response_id", "The id of a stored response."),
    "limit": _parameter(
        "query", "limit", "How many items.", type="integer", minimum=1, maximum=100, default=20
    ),
    "order": _parameter(
        "query", "order", "`desc`: newest first.", enum=["asc", "desc"], default="desc"
    ),
    "check": _parameter(
        "query",
        "check",
        "An adapter by its name, or `all`: first measured as `ailiance check` does it, if it was "
        "not yet. Takes seconds to minutes.",
    ),
    "format": _parameter(
        "query",
        "format",
        "Instead of the `Accept` header.",
        enum=["json", "html", "markdown"],
    ),
    "after": _parameter("query", "after", "The id of the item after which to go on."),
}
TRACING = ("x-request-id", "traceparent", "tracestate")
SESSIONS = ("x-session-id", "x-conversation-id", "x-openwebui-chat-id")


def _header(description: str, **schema: object) -> Schema:
    return {"description": description, "schema": TEXT | schema}


HEADERS: dict[str, Schema] = {
    "x-request-id": _header("The request's id: the client's if it sent a usable one."),
    "openai-processing-ms": _header("Milliseconds to the first byte.", pattern="^[0-9]+$"),
    "x-ailiance-model": _header("Public name of what answered; absent where that is not known."),
    "x-ailiance-base": _header("The base that answered."),
    "x-ailiance-adapter": _header("Its adapter; absent for the bare base."),
    "x-ailiance-adapter-digest": _header("SHA-256 of the adapter's content."),
    "x-ailiance-folded": _header(
        "What was changed in the messages to suit the chat template, joined by commas."
    ),
    "x-ailiance-ai-generated": _header(
        "`true`: a model generated the content (Article 50(2) of the EU AI Act).", enum=["true"]
    ),
    "x-ailiance-domain": _header("The domain that the router named; absent if it named none."),
    "x-ailiance-confidence": _header("Its probability, with four decimals."),
    "x-ailiance-reason": _header(
        "Why it went there: `explicit`, `classified`, `sticky`, `quarantined`, `evidence`, "
        "`out_of_domain`, `low_confidence`, `ambiguous`."
    ),
    "x-ailiance-warning": _header(
        "What speaks against the adapter asked for by name: `quarantined: ...`, `evidence: ...`; "
        "of parts of `lora`: `NAME: quarantined: ...; NAME: evidence: ...`."
    ),
    "x-ailiance-overhead-ms": _header("Milliseconds that the gateway itself took."),
    "cache-control": _header("`no-cache`: streams must not be stored."),
    "x-accel-buffering": _header("`no`: proxies must pass a stream on as it comes."),
    "retry-after": _header("Whole seconds to wait, where that is known.", pattern="^[0-9]+$"),
    "retry-after-ms": _header("The same in milliseconds.", pattern="^[0-9]+$"),
    "vary": _header("`accept`: the answer depends on it."),
    "content-security-policy": _header("Nothing is loaded from anywhere."),
}
ALWAYS = ("x-request-id", "openai-processing-ms")
ROUTED = ("x-ailiance-domain", "x-ailiance-confidence", "x-ailiance-reason", "x-ailiance-warning")
GENERATED = tuple(name for name in HEADERS if name.startswith("x-ailiance-"))
ANSWERED = tuple(name for name in GENERATED if name != "x-ailiance-ai-generated")
RETRY = ("retry-after", "retry-after-ms")
