"""The registry: every method of every path of the gateway, an entry each, by subject."""

from gateway.openapi.operation import Operation, Served
from gateway.openapi.operations.adapters import adapters
from gateway.openapi.operations.generate import generate
from gateway.openapi.operations.models import models
from gateway.openapi.operations.responses import responses
from gateway.openapi.operations.route import route
from gateway.openapi.operations.server import server
from gateway.openapi.operations.tokens import tokens

TAGS = {
    "Generate": "Answers of the models, whole or as streams.",
    "Responses": "OpenAI's Responses API: answers that are kept, and gone on from.",
    "Route": "Where a request would go.",
    "Tokens": "vLLM's paths, by the tokenizer of the base that `model` means.",
    "Models": "What can be named.",
    "Adapters": "For administrators: vLLM's paths. docs/admin.md says who that is.",
    "Server": "For load balancers, scrapers and readers.",
}


def operations(served: Served) -> list[Operation]:
    """All of them, in the order in which they are shown."""
    return [
        *generate(served),
        *responses(served),
        *route(served),
        *tokens(served),
        *models(),
        *adapters(served),
        *server(),
    ]
