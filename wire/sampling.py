"""The sampling fields that chat and plain completions share.

Sources: OpenAI's API reference; vLLM's ``top_k``, ``min_p``, ``repetition_penalty``,
``stop_token_ids`` and ``ignore_eos``.
"""

import re
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from wire.parsing import WireModel

# OpenAI takes 4; evaluation programs send more
MAX_STOPS = 16
Stop = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MAX_STOPS)]
TokenId = Annotated[int, Field(ge=0)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
# each costs the row that asks for it time at every token, or once on the engine's thread
MAX_TOKEN_IDS = 1024
MAX_CHOICES = 128
_TOKEN_ID = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


def _check_bias(value: Any) -> Any:
    # by hand, so that what is wrong is put on the field and not on an entry of any name
    if not isinstance(value, dict):
        raise ValueError("must be a map of token ids to numbers")
    entries = cast(dict[str, Any], value)
    if len(entries) > MAX_TOKEN_IDS:
        raise ValueError(f"has {len(entries)} entries; at most {MAX_TOKEN_IDS} are taken")
    for token, bias in entries.items():
        if not _TOKEN_ID.fullmatch(token):
            raise ValueError("a key is not a token id in decimal digits")
        number = isinstance(bias, int | float) and not isinstance(bias, bool)
        if not number or not -100 <= bias <= 100:
            raise ValueError(f"the bias of token {token} must be a number from -100 to 100")
    return entries


# int stays int: OpenAI's schema says integer, and other servers may insist on it
LogitBias = Annotated[
    dict[str, int | float],
    BeforeValidator(_check_bias),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_TOKEN_IDS,
            "propertyNames": {"pattern": f"^({_TOKEN_ID.pattern})$"},
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        }
    ),
]


class StreamOptions(WireModel):
    include_usage: bool = False
    include_obfuscation: bool | None = None
    """Taken and not acted on: OpenAI's random padding hides lengths on its own network."""


class Sampling(WireModel):
    """None: not set by the client."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(ge=1e-3, le=1e3)] | None = None
    logit_bias: LogitBias | None = None
    stop: Stop | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=MAX_TOKEN_IDS)] | None = None
    ignore_eos: bool = False
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None

    @property
    def choices(self) -> int:
        """How many answers to each prompt."""
        return self.n or 1

    @model_validator(mode="before")
    @classmethod
    def _stop_as_list(cls, data: Any) -> Any:
        body = cast(dict[str, Any], data)
        return {**body, "stop": [body["stop"]]} if isinstance(body.get("stop"), str) else body

    @model_validator(mode="after")
    def _options_need_stream(self) -> "Sampling":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only allowed when stream is true")
        return self
