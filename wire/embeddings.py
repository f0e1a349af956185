"""``POST /v1/embeddings``: its request model and its answer. Bytes in, a model out.

Source: OpenAI's API reference for embeddings. Which sizes and lengths there are, only the
model knows.
"""

import base64
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from wire.errors import InvalidRequest
from wire.fields import plan_fields
from wire.parsing import WireModel, load_json, validate
from wire.sampling import TokenId

MAX_INPUTS = 2048
"""OpenAI's own limit, as is the next one."""
MAX_TOTAL_TOKENS = 300_000

Encoding = Literal["float", "base64"]
InputText = Annotated[str, Field(min_length=1)]
InputTokens = Annotated[list[TokenId], Field(min_length=1)]


class EmbeddingRequest(WireModel):
    """Each input is text or token ids; ``user`` is taken and not acted on."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: (
        InputText
        | InputTokens
        | Annotated[list[InputText], Field(min_length=1, max_length=MAX_INPUTS)]
        | Annotated[list[InputTokens], Field(min_length=1, max_length=MAX_INPUTS)]
    )
    encoding_format: Encoding = "float"
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    @property
    def is_single(self) -> bool:
        """One input, not a list of them."""
        return isinstance(self.input, str) or isinstance(self.input[0], int)

    @property
    def inputs(self) -> Sequence[str] | Sequence[list[int]]:
        """Each input, in the order of the answer."""
        given: Any = self.input
        return [given] if self.is_single else given

    def param_of(self, index: int) -> str:
        """How an error names one input."""
        return "input" if self.is_single else f"input[{index}]"


def parse_embedding(raw: bytes) -> EmbeddingRequest:
    """Bytes of a request to its model; raises InvalidRequest with ``param`` set."""
    body = plan_fields(load_json(raw), {})
    if "input" in body:
        _check_input(body["input"])
    return validate(EmbeddingRequest, body)


def _check_input(given: Any) -> None:
    """Says what a union of four types can't: which entry is wrong, and how."""
    if not isinstance(given, str | list):
        raise InvalidRequest("input must be a text, token ids, or a list of those", param="input")
    if not given:
        raise InvalidRequest("input is empty", param="input")
    if isinstance(given, str):
        return
    entries = cast(list[Any], given)
    first: Any = entries[0]
    if not isinstance(first, str | list):
        _check_tokens(entries, "input")
        return
    if len(entries) > MAX_INPUTS:
        raise InvalidRequest(
            f"input has {len(entries)} entries, and one request may have {MAX_INPUTS}; send them "
            "in several",
            param="input",
        )
    for index, entry in enumerate(entries):
        _check_entry(entry, f"input[{index}]", text=isinstance(first, str))


def _check_entry(entry: Any, param: str, *, text: bool) -> None:
    if not isinstance(entry, str if text else list):
        what = "a text" if text else "a list of token ids"
        raise InvalidRequest(f"{param} must be {what}, as input[0] is", param=param)
    if not entry:
        raise InvalidRequest(f"{param} is empty; leave it out", param=param)
    if not text:
        _check_tokens(cast(list[Any], entry), param)


def _check_tokens(tokens: list[Any], param: str) -> None:
    for index, token in enumerate(tokens):
        if not isinstance(token, int) or isinstance(token, bool) or token < 0:
            at = f"{param}[{index}]"
            raise InvalidRequest(f"{at} must be a token id, an integer from 0 on", param=at)


def embedding_body(
    model: str, vectors: Sequence[Sequence[float]], encoding: Encoding, prompt_tokens: int
) -> dict[str, Any]:
    """The answer: one entry a vector, in their order."""
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": _encoded(vector, encoding)}
            for index, vector in enumerate(vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens},
    }


def _encoded(vector: Sequence[float], encoding: Encoding) -> list[float] | str:
    if encoding == "float":
        return list(vector)
    # little-endian float32, as OpenAI's clients read it
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
