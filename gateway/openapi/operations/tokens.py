"""vLLM's paths of tokenizers."""

from gateway.openapi import examples, facts
from gateway.openapi.headers import TRACING
from gateway.openapi.operation import Answer, Body, Operation, Served
from gateway.openapi.operations.shapes import FORWARDED, json_of
from wire.tokenize import (
    UNSUPPORTED_TOKENIZE,
    DetokenizeRequest,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
)


def tokens(served: Served) -> list[Operation]:
    """The entries of this subject."""
    return [
        Operation(
            "post",
            "/tokenize",
            "tokenize",
            "Tokens",
            "Turn a text or a conversation into tokens",
            (Answer("The tokens.", (json_of(facts.Tokens, examples.TOKENS),)),),
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
            (Answer("The text.", (json_of(facts.Text, examples.TEXT),)),),
            FORWARDED,
            "Special tokens are part of the text. An id that the vocabulary has not is a 400.",
            Body((DetokenizeRequest,), examples.detokenize(served)),
            TRACING,
            passes_on=True,
        ),
    ]
