"""The document as one page of HTML: no script, nothing loaded from anywhere.

All text passes jinja2's escaping; the policy lets only the page's own style sheet through.
"""

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

import gateway.openapi
from gateway.openapi import reading
from gateway.openapi.operation import EVENTS, JSON, Schema

ORIGIN = "http://gateway.invalid"
"""Stands in the page for the address by which it was asked for."""

_STYLE = files(gateway.openapi).joinpath("docs.css").read_text("utf-8")
_TEMPLATE = files(gateway.openapi).joinpath("docs.html").read_text("utf-8")
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Shape:
    """A schema of requests: its own table, and the rules between its fields."""

    name: str
    text: str
    rows: list[reading.FieldRow]
    neutral: list[tuple[str, list[str]]]
    rules: list[str]


@dataclass(frozen=True)
class Shown:
    """One operation, as the page has it."""

    anchor: str
    method: str
    path: str
    said: Schema
    curl: str
    parameters: list[Schema]
    shapes: list[Shape]
    statuses: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    examples: list[tuple[str, str]]


def page(document: Schema) -> str:
    """The page; ``ORIGIN`` in it is to be replaced."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["prose"] = _prose
    shown = list(_operations(document))
    groups = [
        (tag, [each for each in shown if tag["name"] in each.said["tags"]])
        for tag in document["tags"]
    ]
    return environment.from_string(_TEMPLATE).render(
        document=document,
        groups=groups,
        shapes=_held(document, shown),
        style=Markup(_STYLE),  # noqa: S704
    )


def _prose(text: str) -> Markup:
    """Escaped, with `code` and paragraphs."""
    marked = [_CODE.sub(r"<code>\1</code>", str(escape(part))) for part in text.split("\n\n")]
    return Markup("".join(f"<p>{part}</p>" for part in marked))  # noqa: S704


def _operations(document: Schema) -> Iterator[Shown]:
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            names = [part["$ref"].rpartition("/")[2] for part in said.get("parameters", [])]
            yield Shown(
                anchor=said["operationId"],
                method=method.upper(),
                path=path,
                said=said,
                curl=_curl(document, method, path, said),
                parameters=[document["components"]["parameters"][name] for name in names],
                shapes=[_shape(document, name) for name in _bodies(said)],
                statuses=list(_statuses(document, said)),
                headers=list(_headers(document, said)),
                examples=list(_examples(said)),
            )


def _bodies(said: Schema) -> list[str]:
    if "requestBody" not in said:
        return []
    return list(reading.named_in(said["requestBody"]["content"][JSON]["schema"]))


def _shape(document: Schema, name: str) -> Shape:
    schema = document["components"]["schemas"][name]
    text = schema.get("description", "")
    return Shape(name, text, reading.rows(schema), reading.neutral(schema), reading.rules(schema))


def _held(document: Schema, shown: list[Shown]) -> list[Shape]:
    """The schemas that bodies hold, at any depth, each once."""
    bodies = [shape.name for each in shown for shape in each.shapes]
    waiting, seen = list(bodies), dict[str, None]()
    while waiting:
        name = waiting.pop(0)
        for inner in reading.named_in(document["components"]["schemas"][name]):
            if inner not in seen and inner not in bodies:
                seen[inner] = None
                waiting.append(inner)
    return [_shape(document, name) for name in seen]


def _curl(document: Schema, method: str, path: str, said: Schema) -> str:
    model = document["components"]["parameters"]["model"]["schema"]["examples"][0]
    # in capitals, what is to be put in: curl would take braces for a pattern
    url = re.sub(r"{(\w+)}", lambda name: name[1].upper(), path.replace("{model}", model))
    url = ORIGIN + url
    if "requestBody" not in said:
        flags = {"get": "", "head": "-I "}.get(method, f"-X {method.upper()} ")
        return f"curl {flags}{url}"
    body = next(iter(said["requestBody"]["content"][JSON]["examples"].values()))["value"]
    text = shlex.quote(json.dumps(body, indent=2, ensure_ascii=False))
    return f"curl {url} \\\n  -H 'content-type: application/json' \\\n  -d {text}"


def _resolved(document: Schema, response: Schema) -> Schema:
    if "$ref" not in response:
        return response
    return document["components"]["responses"][response["$ref"].rpartition("/")[2]]


def _statuses(document: Schema, said: Schema) -> Iterator[tuple[str, str]]:
    for status, response in said["responses"].items():
        name = "other" if status == "default" else status
        yield name, _resolved(document, response)["description"]


def _headers(document: Schema, said: Schema) -> Iterator[tuple[str, str]]:
    listed = [_resolved(document, response) for response in said["responses"].values()]
    names = dict.fromkeys(name for response in listed for name in response.get("headers", {}))
    for name in names:
        yield name, document["components"]["headers"][name]["description"]


def _examples(said: Schema) -> Iterator[tuple[str, str]]:
    for title, example in _bodies_to_try(said):
        yield f"Request: {title[0].lower()}{title[1:]}", json.dumps(example, indent=2)
    for status, response in said["responses"].items():
        for media, content in response.get("content", {}).items():
            if "example" in content:
                example: Any = content["example"]
                text = example if media == EVENTS else json.dumps(example, indent=2)
                stream = ", a stream" if media == EVENTS else ""
                yield f"Answer {status}{stream}", text


def _bodies_to_try(said: Schema) -> list[tuple[str, Any]]:
    """The examples after the one that stands as curl."""
    if "requestBody" not in said:
        return []
    found = said["requestBody"]["content"][JSON]["examples"]
    return [(title, each["value"]) for title, each in found.items()][1:]
