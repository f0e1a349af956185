"""Request models of the OpenAI API, as far as they are honoured. Bytes in, models out.

Sources: OpenAI's API reference for chat completions and completions; vLLM's extra fields
``top_k``, ``min_p``, ``repetition_penalty``, ``stop_token_ids`` and ``ignore_eos``; mlx-lm's
``adapters``.
"""

import json
import re
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from wire.errors import InvalidRequest
from wire.fields import UNSUPPORTED_CHAT, UNSUPPORTED_COMPLETION, plan_fields

M = TypeVar("M", bound=BaseModel)
Stop = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)]
TokenId = Annotated[int, Field(ge=0)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
# each costs the row that asks for it time at every token, or once on the engine's thread
MAX_TOKEN_IDS = 1024
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
LogitBias = Annotated[dict[str, int | float], BeforeValidator(_check_bias)]


class WireModel(BaseModel):
    # strict: OpenAI takes neither "1" nor true for a number
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        # clients send back what they were sent: `"tool_calls": null` in a turn is no tool call
        if not isinstance(data, dict):
            return data
        return {k: v for k, v in cast(dict[str, Any], data).items() if v is not None}


class StreamOptions(WireModel):
    include_usage: bool = False


class TextPart(WireModel):
    type: Literal["text"]
    text: str


class Message(WireModel):
    """One turn. ``content`` may be text or a list of text parts, as clients send both."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None
    name: str | None = None
    refusal: None = None

    @model_validator(mode="after")
    def _has_content(self) -> "Message":
        if self.content is None and self.role != "assistant":
            raise ValueError(f"a {self.role} message needs content")
        return self

    def text(self) -> str:
        """The content as one string; parts are joined without a separator."""
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class Sampling(WireModel):
    """The sampling fields that chat and plain completions share. None: not set by the client."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    logit_bias: LogitBias | None = None
    stop: Stop | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=MAX_TOKEN_IDS)] | None = None
    ignore_eos: bool = False
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str | None = None

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


class ChatRequest(Sampling):
    """``POST /v1/chat/completions``."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    metadata: dict[str, str] | None = None
    adapters: Annotated[str, Field(min_length=1, max_length=256)] | None = None

    @property
    def limit_tokens(self) -> int | None:
        """Most tokens to generate; ``max_completion_tokens`` wins, as in OpenAI's API."""
        return self.max_completion_tokens or self.max_tokens


class RouteRequest(ChatRequest):
    """``POST /v1/route``: a chat request that is not sent anywhere."""

    explain: bool = False


class CompletionRequest(Sampling):
    """``POST /v1/completions``; the prompt is text or token ids."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    prompt: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[TokenId], Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1)]
    )
    adapters: Annotated[str, Field(min_length=1, max_length=256)] | None = None

    @property
    def limit_tokens(self) -> int | None:
        return self.max_tokens


def parse_chat(raw: bytes) -> ChatRequest:
    """Bytes of a chat request to its model; raises InvalidRequest with ``param`` set."""
    return validate(ChatRequest, plan_fields(load_json(raw), UNSUPPORTED_CHAT))


def parse_route(raw: bytes) -> RouteRequest:
    """Bytes of a dry run to its model; raises InvalidRequest with ``param`` set."""
    return validate(RouteRequest, plan_fields(load_json(raw), UNSUPPORTED_CHAT))


def parse_completion(raw: bytes) -> CompletionRequest:
    """Bytes of a completion request to its model; raises InvalidRequest with ``param`` set."""
    return validate(CompletionRequest, plan_fields(load_json(raw), UNSUPPORTED_COMPLETION))


def load_json(raw: bytes) -> Any:
    """Parsed JSON; raises InvalidRequest that says where the text breaks."""
    try:
        # decoded here: json.loads of bytes lets surrogates and UTF-16 through
        value = json.loads(raw.decode("utf-8-sig"))
        if b"\\ud" in raw or b"\\uD" in raw:
            # half of a surrogate pair is valid JSON, but no text: nothing could send it on
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError:
        raise InvalidRequest("the body holds half of a surrogate pair") from None
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8: {error}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"the body is not valid JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None
    except ValueError:
        # Python's limit on the digits of one number
        raise InvalidRequest("the body holds a number with too many digits") from None


def validate(model: type[M], body: dict[str, Any]) -> M:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> InvalidRequest:
    first = _most_telling(error)
    param = _path(first["loc"])
    if first["type"] == "extra_forbidden":
        # a field's name may be any text, so it is taken as it came
        parent, name = _path(first["loc"][:-1]), str(first["loc"][-1])
        param = f"{parent}.{name}" if parent else name
        return InvalidRequest(f"unknown field '{param}'", param=param, code="unknown_parameter")
    message = first["msg"].removeprefix("Value error, ")
    return InvalidRequest(f"{param}: {message}" if param else message, param=param or None)


def _most_telling(error: ValidationError) -> ErrorDetails:
    """The first error; where text or parts are taken, that of the part rather than "no text"."""
    found = error.errors(include_url=False, include_input=False)
    first = found[0]
    if first["loc"][-1:] == ("str",):
        at = first["loc"][:-1]
        deeper = (e for e in found if e["loc"][: len(at)] == at and len(e["loc"]) > len(at) + 1)
        return next(deeper, first)
    return first


def _path(loc: tuple[int | str, ...]) -> str:
    """``messages[0].content`` from pydantic's location; branch names of unions left out."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier():
            path += f".{part}" if path else part
    # a union of plain types ends in the name of the branch that failed
    return path.removesuffix(".str")
