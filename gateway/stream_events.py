"""One upstream stream as events for the client. Pure: strings in, bytes out, no I/O.

The first chunk gets the ``ailiance`` object; every chunk gets the public model name. After
the first text, a chunk costs one string replacement: its JSON is parsed only where the
expected form of the ``model`` key is not found.
"""

import json
from typing import Any, TypeGuard, cast

from fleet.names import Names
from gateway.metrics import Observation, error_type_of, label_of_code
from gateway.provenance import Asked, Provenance, of_body
from gateway.upstream import error_in
from wire.errors import AilianceError, UpstreamFailed
from wire.sse import DONE, dumps, encode_data

# upstream says so on each chunk, since it is always asked for usage
NO_USAGE = ',"usage":null'
_SPEECH = ("content", "reasoning_content", "reasoning", "tool_calls")


class StreamEvents:
    """Rewrites events one by one; ``ended`` after the one terminal event."""

    def __init__(
        self, asked: Asked, names: Names, observation: Observation, *, keep_usage: bool
    ) -> None:
        self._asked = asked
        self._names = names
        self._observation = observation
        self._keep_usage = keep_usage
        self._told: Provenance | None = None
        self._seen_text = False
        self._upstream_key = ""
        self._public_key = ""
        self.ended = False
        self.error_type = ""

    def on_data(self, data: str) -> bytes:
        """The bytes for one event; empty where the client gets nothing."""
        if data == DONE:
            if self._told is None:
                return self.on_error(UpstreamFailed("the stream ended before its first token"))
            self.ended = True
            return encode_data(DONE)
        if self._seen_text and self._is_plain_delta(data):
            renamed = data.replace(self._upstream_key, self._public_key, 1)
            return encode_data(renamed if self._keep_usage else renamed.replace(NO_USAGE, "", 1))
        return self._on_parsed(data)

    def on_error(self, error: AilianceError) -> bytes:
        """The error event that ends the stream."""
        self.ended = True
        self.error_type = error_type_of(error)
        return encode_data(dumps(error.envelope()))

    def on_end(self) -> bytes:
        """The upstream's bytes ended; nothing if the terminal event was sent."""
        if self.ended:
            return b""
        return self.on_error(UpstreamFailed("the stream broke off before it was complete"))

    def _is_plain_delta(self, data: str) -> bool:
        # quotes inside JSON strings are escaped: these can only be keys
        return self._upstream_key in data and '"choices"' in data and '"usage":{' not in data

    def _on_parsed(self, data: str) -> bytes:
        try:
            chunk: Any = json.loads(data)
        except ValueError:
            return self.on_error(UpstreamFailed("the stream held an event that is not JSON"))
        error = error_in(chunk)
        if error is not None:
            self.ended = True
            self.error_type = label_of_code(error.get("code"))
            shown = {key: error.get(key) for key in ("message", "type", "param", "code")}
            return encode_data(dumps({"error": shown}))
        if not is_chunk(chunk):
            return self.on_error(UpstreamFailed("the stream held an event that is no chunk"))
        return self._on_chunk(chunk)

    def _on_chunk(self, chunk: dict[str, Any]) -> bytes:
        first = self._told is None
        told = self._told or self._on_first(chunk)
        chunk["model"] = told.model or chunk.get("model")
        if first:
            chunk["ailiance"] = told.body(self._asked.route, is_generated=True)
        if not self._seen_text and _has_text(chunk):
            self._seen_text = True
            self._observation.on_first_token()
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self._observation.on_usage(cast(dict[str, Any], usage))
            if not self._keep_usage and not chunk.get("choices"):
                return b""
        if not self._keep_usage:
            chunk.pop("usage", None)
        return encode_data(dumps(chunk))

    def _on_first(self, chunk: dict[str, Any]) -> Provenance:
        self._told = told = of_body(chunk, self._asked, self._names)
        upstream_model = dumps(chunk.get("model"))
        self._upstream_key = f'"model":{upstream_model}'
        self._public_key = f'"model":{dumps(told.model or chunk.get("model"))}'
        self._observation.on_answered(told.model)
        return told


def is_chunk(chunk: Any) -> TypeGuard[dict[str, Any]]:
    """An object whose choices, and what they hold, are objects where there are any."""
    if not isinstance(chunk, dict):
        return False
    choices: Any = cast(dict[str, Any], chunk).get("choices") or []
    return isinstance(choices, list) and all(
        isinstance(choice, dict)
        and isinstance(cast(dict[str, Any], choice).get("delta") or {}, dict)
        for choice in cast(list[Any], choices)
    )


def _has_text(chunk: dict[str, Any]) -> bool:
    for choice in cast(list[dict[str, Any]], chunk.get("choices") or []):
        delta = cast(dict[str, Any], choice.get("delta") or {})
        if choice.get("text") or any(delta.get(name) for name in _SPEECH):
            return True
    return False
