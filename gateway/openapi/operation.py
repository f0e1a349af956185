"""What is said about one path: plain values, composed by ``document``.

To add a path: an ``Operation`` in ``operations``; if it takes a body, its fields in ``fields``
and what pydantic's schema of it can't say in ``accepted``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

Schema = dict[str, Any]
Method = Literal["get", "head", "post", "delete"]
JSON = "application/json"
EVENTS = "text/event-stream"


@dataclass(frozen=True)
class Served:
    """Names that examples may use: ``auto`` routes, ``base`` is one base, ``models`` are all.

    ``base_id`` is the base's short name; ``embedder`` a base that serves embeddings, if any does.
    """

    auto: str
    base: str
    base_id: str
    embedder: str
    models: tuple[str, ...]


@dataclass(frozen=True)
class Body:
    """A JSON body: any of ``models``.

    ``unsupported``: fields taken only with the values that change nothing, besides null.
    ``examples``: title -> body; the first is the page's curl.
    """

    models: tuple[type[BaseModel], ...]
    examples: Mapping[str, Any]
    unsupported: Mapping[str, tuple[Any, ...]] = field(default_factory=dict[str, tuple[Any, ...]])


@dataclass(frozen=True)
class Content:
    """One media type of an answer. ``events``: the model of each event of a stream."""

    media: str
    schema: type[BaseModel] | Schema
    example: Any = None
    events: type[BaseModel] | None = None


@dataclass(frozen=True)
class Answer:
    """An answer that is not the error envelope. ``headers`` are names of ``headers.HEADERS``."""

    description: str
    content: tuple[Content, ...] = ()
    headers: tuple[str, ...] = ()
    status: int = 200


@dataclass(frozen=True)
class Operation:
    """One method of one path. ``refusals``: statuses that come with the error envelope.

    ``passes_on``: another server may answer, with any status of its own.
    """

    method: Method
    path: str
    id: str
    tag: str
    summary: str
    answers: tuple[Answer, ...]
    refusals: tuple[int, ...] = ()
    description: str = ""
    body: Body | None = None
    parameters: tuple[str, ...] = ()
    passes_on: bool = False
