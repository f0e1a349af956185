"""The registry: every method of every path of the gateway, an entry each."""

from gateway.admin.requests import LoadAdapterRequest, UnloadAdapterRequest
from gateway.exposition import CONTENT_TYPE
from gateway.openapi import answers, examples, facts, items
from gateway.openapi.headers import ANSWERED, GENERATED, SESSIONS, TRACING
from gateway.openapi.operation import (
    EVENTS,
    JSON,
    Answer,
    Body,
    Content,
    Operation,
    Served,
)
from wire.embeddings import EmbeddingRequest
from wire.fields import UNSUPPORTED_CHAT, UNSUPPORTED_COMPLETION
from wire.requests import ChatRequest, CompletionRequest, RouteRequest
from wire.responses_api import UNSUPPORTED_RESPONSES, ResponsesRequest
from wire.tokenize import (
    UNSUPPORTED_TOKENIZE,
    DetokenizeRequest,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
)

TAGS = {
    "Generate": "Answers of the models, whole or as streams.",
    "Responses": "OpenAI's Responses API: answers that are kept, and gone on from.",
    "Route": "Where a request would go.",
    "Tokens": "vLLM's paths, by the tokenizer of the base that `model` means.",
    "Models": "What can be named.",
    "Adapters": "For administrators: vLLM's paths. docs/admin.md says who that is.",
    "Server": "For load balancers, scrapers and readers.",
}
FORWARDED = (400, 404, 413, 500, 502, 503)
TEXT = {"type": "string"}
FRAMES = "Events `data: {...}`, each as `x-event-schema` says, then `data: [DONE]`."


def operations(served: Served) -> list[Operation]:
    """All of them, in the order in which they are shown."""
    return [
        *_generate(served),
        *_responses(served),
        *_route(served),
        *_tokens(served),
        *_models(),
        *_adapters(served),
        *_server(),
    ]


def _generate(served: Served) -> list[Operation]:
    return [
        Operation(
            "post",
            "/v1/chat/completions",
            "createChatCompletion",
            "Generate",
            "Answer a conversation",
            (
                _generation(
                    Content(JSON, answers.ChatCompletion, examples.chat_answer(served)),
                    Content(EVENTS, TEXT, examples.chat_stream(served), answers.ChatChunk),
                ),
            ),
            FORWARDED,
            "OpenAI's chat completions, with fields of vLLM and mlx-lm.",
            Body((ChatRequest,), examples.chat(served), UNSUPPORTED_CHAT),
            (*TRACING, *SESSIONS),
            passes_on=True,
        ),
        Operation(
            "post",
            "/v1/completions",
            "createCompletion",
            "Generate",
            "Continue a text",
            (
                _generation(
                    Content(JSON, answers.TextCompletion, examples.text_answer(served)),
                    Content(EVENTS, TEXT, examples.text_stream(served), answers.TextChunk),
                ),
            ),
            FORWARDED,
            "OpenAI's completions: no chat template. Prompts of token ids are not routed.",
            Body((CompletionRequest,), examples.completion(served), UNSUPPORTED_COMPLETION),
            (*TRACING, *SESSIONS),
            passes_on=True,
        ),
        Operation(
            "post",
            "/v1/embeddings",
            "createEmbedding",
            "Generate",
            "Turn texts into vectors",
            (
                Answer(
                    "One vector for each input.",
                    (Content(JSON, answers.EmbeddingList, examples.embedding_answer(served)),),
                    ANSWERED,
                ),
            ),
            FORWARDED,
            "By a base with `embeddings: true`; an adapter's name, and one that lets the router "
            "choose, are refused.",
            Body((EmbeddingRequest,), examples.embedding(served)),
            TRACING,
            passes_on=True,
        ),
    ]


def _generation(whole: Content, stream: Content) -> Answer:
    return Answer(
        f"The answer; with `stream` true as events. {FRAMES}",
        (whole, stream),
        (*GENERATED, "cache-control", "x-accel-buffering"),
    )


def _responses(served: Served) -> list[Operation]:
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
                    (*GENERATED, "cache-control", "x-accel-buffering"),
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
            (Answer("It is gone.", (_json(items.Deleted, examples.DELETED),)),),
            (404, 413, 500),
            parameters=one,
        ),
        Operation(
            "get",
            "/v1/responses/{response_id}/input_items",
            "listInputItems",
            "Responses",
            "List the items of its request",
            (Answer("A page of items.", (_json(items.ItemPage, examples.ITEMS),)),),
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


def _route(served: Served) -> list[Operation]:
    return [
        Operation(
            "post",
            "/v1/route",
            "planRoute",
            "Route",
            "Say where a chat request would go",
            (Answer("The route.", (_json(facts.RouteAnswer, examples.route_answer(served)),)),),
            (400, 404, 413, 500),
            "Takes the body of a chat request and generates nothing. docs/router.md says how "
            "the router decides.",
            Body((RouteRequest,), examples.route(served), UNSUPPORTED_CHAT),
            ("x-request-id", *SESSIONS),
        )
    ]


def _tokens(served: Served) -> list[Operation]:
    return [
        Operation(
            "post",
            "/tokenize",
            "tokenize",
            "Tokens",
            "Turn a text or a conversation into tokens",
            (Answer("The tokens.", (_json(facts.Tokens, examples.TOKENS),)),),
            FORWARDED,
            "Takes `prompt` or `messages`, not both. The context does not limit the length. A name "
            "that leaves the base open is refused where there are several.",
            Body(
                (TokenizeCompletionRequest, TokenizeChatRequest),
                examples.tokenize(served),
                UNSUPPORTED_TOKENIZE,
            ),
            TRACING,
            passes_on=True,
        ),
        Operation(
            "post",
            "/detokenize",
            "detokenize",
            "Tokens",
            "Turn tokens into text",
            (Answer("The text.", (_json(facts.Text, examples.TEXT),)),),
            FORWARDED,
            "Special tokens are part of the text. An id that the vocabulary has not is a 400.",
            Body((DetokenizeRequest,), examples.detokenize(served)),
            TRACING,
            passes_on=True,
        ),
    ]


def _models() -> list[Operation]:
    return [
        Operation(
            "get",
            "/v1/models",
            "listModels",
            "Models",
            "List the names",
            (Answer("All public names.", (_json(facts.ModelList, examples.MODELS),)),),
            (500,),
            parameters=("x-request-id",),
        ),
        Operation(
            "get",
            "/v1/models/{model}",
            "getModel",
            "Models",
            "What stands behind a name",
            (Answer("The name.", (_json(facts.ModelDetails, examples.MODEL_DETAILS),)),),
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
                        _json(facts.ModelCard, examples.MODEL_CARD),
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


def _adapters(served: Served) -> list[Operation]:
    def said(text: str) -> Content:
        return Content("text/plain", TEXT, text)

    return [
        Operation(
            "post",
            "/v1/load_lora_adapter",
            "loadAdapter",
            "Adapters",
            "Load or replace an adapter",
            (Answer("It is served.", (said(examples.ADDED),)),),
            (400, 401, 403, 413, 500, 502, 503),
            "The worker proves it first: shapes, finite numbers, an effect on the base. What is "
            "refused changes nothing (code `InvalidUserInput`). Kept over restarts.",
            Body((LoadAdapterRequest,), examples.load_adapter(served)),
            ("x-request-id",),
        ),
        Operation(
            "post",
            "/v1/unload_lora_adapter",
            "unloadAdapter",
            "Adapters",
            "Unload an adapter that was loaded at run time",
            (Answer("Its name is gone.", (said(examples.REMOVED),)),),
            (400, 401, 403, 404, 413, 500),
            "Requests in flight end. Adapters of the fleet file are removed there (400 here).",
            Body((UnloadAdapterRequest,), examples.unload_adapter()),
            ("x-request-id",),
        ),
        Operation(
            "get",
            "/v1/adapters",
            "listAdapters",
            "Adapters",
            "List the adapters and where they are",
            (Answer("All of them.", (_json(facts.AdapterList, examples.ADAPTERS),)),),
            (400, 401, 403, 500, 502, 503),
            parameters=("check", "x-request-id"),
        ),
    ]


def _server() -> list[Operation]:
    text = "Ready only while every worker is."
    return [
        Operation(
            "get",
            "/health",
            "getHealth",
            "Server",
            "Is every worker ready?",
            (
                Answer("All are.", (_json(facts.Health, examples.HEALTHY),)),
                Answer("Not all are.", (_json(facts.Health, examples.STARTING),), status=503),
            ),
            (500,),
            text,
            parameters=("x-request-id",),
        ),
        Operation(
            "head",
            "/health",
            "probeHealth",
            "Server",
            "The same without a body",
            (Answer("All are."), Answer("Not all are.", status=503)),
            description=text,
            parameters=("x-request-id",),
        ),
        Operation(
            "get",
            "/metrics",
            "getMetrics",
            "Server",
            "Metrics for Prometheus",
            (Answer("The gateway's and its workers'.", (Content(CONTENT_TYPE, TEXT),)),),
            (500,),
            parameters=("x-request-id",),
        ),
        Operation(
            "get",
            "/openapi.json",
            "getDocument",
            "Server",
            "This document",
            (Answer("OpenAPI 3.1.", (Content(JSON, {"type": "object"}),)),),
            (500,),
            parameters=("x-request-id",),
        ),
        Operation(
            "get",
            "/docs",
            "getPage",
            "Server",
            "This document as a page",
            (
                Answer(
                    "One file, which loads nothing.",
                    (Content("text/html", TEXT),),
                    ("content-security-policy",),
                ),
            ),
            (500,),
            parameters=("x-request-id",),
        ),
    ]


def _json(schema: type[facts.BaseModel], example: object) -> Content:
    return Content(JSON, schema, example)
