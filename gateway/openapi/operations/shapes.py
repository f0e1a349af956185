"""What entries of several subjects have alike."""

from pydantic import BaseModel

from gateway.openapi.operation import JSON, Content

FORWARDED = (400, 404, 413, 500, 502, 503)
"""Statuses of what goes on to a base."""
TEXT = {"type": "string"}
STREAMED = ("cache-control", "x-accel-buffering")
"""Headers of a stream."""


def json_of(schema: type[BaseModel], example: object) -> Content:
    """An answer in JSON, and what it may look like."""
    return Content(JSON, schema, example)
