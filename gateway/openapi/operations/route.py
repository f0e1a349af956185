"""Where a request would go."""

from gateway.openapi import examples, facts
from gateway.openapi.headers import SESSIONS
from gateway.openapi.operation import Answer, Body, Operation, Served
from gateway.openapi.operations.shapes import json_of
from wire.fields import UNSUPPORTED_CHAT
from wire.requests import RouteRequest


def route(served: Served) -> list[Operation]:
    """The entries of this subject."""
    return [
        Operation(
            "post",
            "/v1/route",
            "planRoute",
            "Route",
            "Say where a chat request would go",
            (Answer("The route.", (json_of(facts.RouteAnswer, examples.route_answer(served)),)),),
            (400, 404, 413, 500),
            "Takes the body of a chat request and generates nothing. docs/router.md says how "
            "the router decides.",
            Body((RouteRequest,), examples.route(served), UNSUPPORTED_CHAT),
            ("x-request-id", *SESSIONS),
        )
    ]
