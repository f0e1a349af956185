"""OpenAI's Responses API."""

from gateway.openapi import examples, items
from gateway.openapi.headers import GENERATED, SESSIONS, TRACING
from gateway.openapi.operation import EVENTS, JSON, Answer, Body, Content, Operation, Served
from gateway.openapi.operations.shapes import FORWARDED, STREAMED, TEXT, json_of
from wire.responses_api import UNSUPPORTED_RESPONSES, ResponsesRequest


def responses(served: Served) -> list[Operation]:
    """The entries of this subject."""
    events = Content(EVENTS, TEXT, None, items.ResponseEvent)
    whole = Content(JSON, items.Response, examples.response(served))
    one = ("response_id", "x-request-id")
    return [
        Operation(
            "post",
            "/v1/responses",
            "createResponse",
            "Responses",
            "Answer items, and keep the answer",
            (
                Answer(
                    "The response; with `stream` true as events, each as `x-event-schema` says. "
                    "The last is `response.completed`, `response.incomplete` or "
                    "`response.failed`; there is no `[DONE]`.",
                    (whole, events),
                    (*GENERATED, *STREAMED),
                ),
            ),
            FORWARDED,
            "OpenAI's Responses API over the same models. 400 `previous_response_not_found` where "
            "`previous_response_id` leads nowhere, 404 also where an item's reference does. Who "
            "has another `Authorization` header sees none of it.",
            Body((ResponsesRequest,), examples.responses(served), UNSUPPORTED_RESPONSES),
            (*TRACING, *SESSIONS),
            passes_on=True,
        ),
        Operation(
            "get",
            "/v1/responses/{response_id}",
            "getResponse",
            "Responses",
            "Read a stored response",
            (Answer("The response.", (whole,), ("x-ailiance-ai-generated",)),),
            (400, 404, 500),
            "It can't be streamed again.",
            parameters=one,
        ),
        Operation(
            "delete",
            "/v1/responses/{response_id}",
            "deleteResponse",
            "Responses",
            "Forget a stored response",
            (Answer("It is gone.", (json_of(items.Deleted, examples.DELETED),)),),
            (404, 413, 500),
            parameters=one,
        ),
        Operation(
            "get",
            "/v1/responses/{response_id}/input_items",
            "listInputItems",
            "Responses",
            "List the items of its request",
            (Answer("A page of items.", (json_of(items.ItemPage, examples.ITEMS),)),),
            (400, 404, 500),
            parameters=(*one, "limit", "order", "after"),
        ),
        Operation(
            "post",
            "/v1/responses/{response_id}/cancel",
            "cancelResponse",
            "Responses",
            "Refused: nothing runs in the background",
            (),
            (400, 404, 413, 500),
            "400 for a stored response, 404 for any other.",
            parameters=one,
        ),
    ]
