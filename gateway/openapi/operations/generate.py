"""Answers of the models, and vectors."""

from gateway.openapi import answers, examples
from gateway.openapi.headers import ANSWERED, GENERATED, SESSIONS, TRACING
from gateway.openapi.operation import EVENTS, JSON, Answer, Body, Content, Operation, Served
from gateway.openapi.operations.shapes import FORWARDED, STREAMED, TEXT
from wire.embeddings import EmbeddingRequest
from wire.fields import UNSUPPORTED_CHAT, UNSUPPORTED_COMPLETION
from wire.requests import ChatRequest, CompletionRequest

FRAMES = "Events `data: {...}`, each as `x-event-schema` says, then `data: [DONE]`."


def generate(served: Served) -> list[Operation]:
    """The entries of this subject."""
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
        (*GENERATED, *STREAMED),
    )
