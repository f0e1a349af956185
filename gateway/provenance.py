"""What answered, as the upstream reports it: the ``ailiance`` object and the headers.

Base, adapter and digests are never stated from the gateway's own tables. An upstream that
reports nothing (any OpenAI server) is taken at its word only where its ``model`` field
confirms what was asked for; digests are then left out.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from fleet.names import Names
from gateway.routing import Route

GENERATED = {"x-ailiance-ai-generated": "true"}
"""On every answer that a model generated: Article 50(2) of Regulation (EU) 2024/1689."""
MAX_WARNING = 200  # characters of the header; the body has all of it


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gateway asked for: the route, and the ``model`` it sent upstream."""

    route: Route
    upstream_model: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What answered. ``model`` is its public name; None fields are unknown or absent."""

    model: str | None = None
    base: str | None = None
    adapter: str | None = None
    base_digest: str | None = None
    adapter_digest: str | None = None
    folded: tuple[str, ...] = ()
    """What the worker changed in the messages to suit the base's chat template."""
    parts: tuple[dict[str, Any], ...] = ()
    """Of a composition: each adapter's id, scale and digest."""

    def body(self, route: Route, *, is_generated: bool = False) -> dict[str, Any]:
        """The ``ailiance`` object of a response; ``is_generated``: by a model, and marked so."""
        mark: dict[str, Any] = {"ai_generated": True} if is_generated else {}
        if self.parts:
            mark["adapters"] = list(self.parts)
        return mark | {
            "model": self.model,
            "base": self.base,
            "adapter": self.adapter,
            "adapter_digest": self.adapter_digest,
            "base_digest": self.base_digest,
            "folded": list(self.folded),
            "domain": route.domain,
            "confidence": route.confidence,
            "reason": route.reason,
            "evidence": route.lacking.body() if route.lacking is not None else None,
            "warning": route.warning,
        }

    def headers(self, route: Route) -> dict[str, str]:
        """The ``x-ailiance-*`` headers; what is unknown has none."""
        found: dict[str, str | None] = {
            # a foreign server's own model name is any text: it stays in the body
            "x-ailiance-model": self.model if self.base else None,
            "x-ailiance-base": self.base,
            "x-ailiance-adapter": self.adapter,
            "x-ailiance-adapter-digest": self.adapter_digest,
            "x-ailiance-folded": ",".join(self.folded) or None,
            "x-ailiance-domain": route.domain,
            "x-ailiance-confidence": (
                None if route.confidence is None else f"{route.confidence:.4f}"
            ),
            "x-ailiance-reason": route.reason,
            "x-ailiance-warning": None if route.warning is None else header_text(route.warning),
        }
        return {name: value for name, value in found.items() if value is not None}


def of_body(body: Mapping[str, Any], asked: Asked, names: Names) -> Provenance:
    """From a plain answer or the first chunk of a stream."""
    report = body.get("ailiance")
    if isinstance(report, dict):
        facts = cast(dict[str, Any], report)
        told = {key: _text(value) for key, value in facts.items()}
        base, adapter = told.get("base"), told.get("adapter")
        if base is not None:
            digests = told.get("base_digest"), told.get("adapter_digest")
            folded = _texts(facts.get("folded"))
            parts = _parts(facts.get("adapters"))
            model = _model(names, base, adapter)
            return Provenance(model, base, adapter, *digests, folded, parts)
    answered = body.get("model")
    if answered == asked.upstream_model:
        route = asked.route
        return Provenance(names.public(route.base, route.adapter), route.base, route.adapter)
    return Provenance(answered if isinstance(answered, str) else None)


def header_text(text: str) -> str:
    """Any text as a header can hold it: printable ASCII, without accents, of bounded length."""
    plain = unicodedata.normalize("NFKD", text)
    letters = (char for char in plain if not unicodedata.combining(char))
    shown = "".join(c if c.isascii() and c.isprintable() else "?" for c in letters).strip()
    return shown if len(shown) <= MAX_WARNING else f"{shown[: MAX_WARNING - 3]}..."


def _text(value: Any) -> str | None:
    """A report's value, if it is text that may stand in a header."""
    if isinstance(value, str) and value.isascii() and value.isprintable():
        return value
    return None


def _texts(value: Any) -> tuple[str, ...]:
    found = cast(list[Any], value) if isinstance(value, list) else []
    return tuple(text for text in map(_text, found) if text)


def of_headers(headers: Mapping[str, str], names: Names) -> Provenance:
    """From an upstream's response headers, before the first chunk of a stream."""
    base = headers.get("x-ailiance-base")
    if base is None:
        return Provenance()
    adapter = headers.get("x-ailiance-adapter") or None
    digest = headers.get("x-ailiance-adapter-digest") or None
    folded = tuple(filter(None, headers.get("x-ailiance-folded", "").split(",")))
    return Provenance(_model(names, base, adapter), base, adapter, None, digest, folded)


def _model(names: Names, base: str, adapter: str | None) -> str:
    """The public name; of a composition its base's: what a client composed is no name."""
    return names.public(base, None if adapter is not None and "*" in adapter else adapter)


def _parts(value: Any) -> tuple[dict[str, Any], ...]:
    found = cast(list[Any], value) if isinstance(value, list) else []
    return tuple(cast(dict[str, Any], part) for part in found if isinstance(part, dict))
