"""What can be named."""

from gateway.openapi import examples, facts
from gateway.openapi.operation import Answer, Content, Operation
from gateway.openapi.operations.shapes import TEXT, json_of


def models() -> list[Operation]:
    """The entries of this subject."""
    return [
        Operation(
            "get",
            "/v1/models",
            "listModels",
            "Models",
            "List the names",
            (Answer("All public names.", (json_of(facts.ModelList, examples.MODELS),)),),
            (500,),
            parameters=("x-request-id",),
        ),
        Operation(
            "get",
            "/v1/models/{model}",
            "getModel",
            "Models",
            "What stands behind a name",
            (Answer("The name.", (json_of(facts.ModelDetails, examples.MODEL_DETAILS),)),),
            (404, 500),
            parameters=("model", "x-request-id"),
        ),
        Operation(
            "get",
            "/v1/models/{model}/card",
            "getModelCard",
            "Models",
            "Read an adapter's card",
            (
                Answer(
                    "The card: as JSON, as a page that loads nothing, or as it was written.",
                    (
                        json_of(facts.ModelCard, examples.MODEL_CARD),
                        Content("text/html", TEXT),
                        Content("text/markdown", TEXT),
                    ),
                    ("vary",),
                ),
            ),
            (400, 404, 500),
            "The summary of training content (Article 53(1)(d) of the EU AI Act) as its author "
            "states it; 404 `card_not_found` where there is no README.md beside the weights.",
            parameters=("model", "format", "x-request-id"),
        ),
    ]
