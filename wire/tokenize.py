"""Request models of vLLM's ``/tokenize`` and ``/detokenize``. Bytes in, models out.

Source: vLLM, ``vllm/entrypoints/serve/tokenize/protocol.py``. A template of the client's own
is refused by name.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from wire.errors import InvalidRequest
from wire.fields import plan_fields
from wire.messages import Message
from wire.parsing import WireModel, load_json, validate
from wire.tools import MAX_TOOLS, Tool

Name = Annotated[str, Field(min_length=1, max_length=256)]

# field -> values that change nothing, besides null
UNSUPPORTED_TOKENIZE: dict[str, tuple[Any, ...]] = {
    "chat_template": (),
    "media_io_kwargs": ({},),
    "mm_processor_kwargs": ({},),
}


class TokenizeCompletionRequest(WireModel):
    """``POST /tokenize`` of a plain prompt, which may be empty."""

    model: Name | None = None
    prompt: str
    add_special_tokens: bool = True
    return_token_strs: bool = False


class TokenizeChatRequest(WireModel):
    """``POST /tokenize`` of a chat. ``add_special_tokens``: beside those of the template."""

    model: Name | None = None
    messages: Annotated[list[Message], Field(min_length=1)]
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    return_token_strs: bool = False
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class DetokenizeRequest(WireModel):
    """``POST /detokenize``. Which ids there are, only the tokenizer knows."""

    model: Name | None = None
    tokens: list[int]


TokenizeRequest = TokenizeCompletionRequest | TokenizeChatRequest


def parse_tokenize(raw: bytes) -> TokenizeRequest:
    """Bytes of a prompt or a chat to its model; raises InvalidRequest with ``param`` set."""
    body = plan_fields(load_json(raw), UNSUPPORTED_TOKENIZE)
    if "messages" not in body:
        if "prompt" not in body:
            raise InvalidRequest("send a prompt or messages", param="prompt")
        return validate(TokenizeCompletionRequest, body)
    if "prompt" in body:
        raise InvalidRequest("prompt and messages exclude each other; send one", param="prompt")
    chat = validate(TokenizeChatRequest, body)
    if chat.continue_final_message and chat.add_generation_prompt:
        raise InvalidRequest(
            "continue_final_message needs add_generation_prompt false: a message is either "
            "continued or begun",
            param="continue_final_message",
        )
    return chat


def parse_detokenize(raw: bytes) -> DetokenizeRequest:
    """Bytes of a list of token ids to its model; raises InvalidRequest with ``param`` set."""
    return validate(DetokenizeRequest, plan_fields(load_json(raw), {}))


def tokenize_body(
    tokens: Sequence[int], max_model_len: int, token_strs: Sequence[str] | None
) -> dict[str, Any]:
    """The answer of ``/tokenize``."""
    return {
        "count": len(tokens),
        "max_model_len": max_model_len,
        "tokens": tokens,
        "token_strs": token_strs,
    }


def detokenize_body(prompt: str) -> dict[str, Any]:
    """The answer of ``/detokenize``."""
    return {"prompt": prompt}
