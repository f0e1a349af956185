"""Bytes to models: strict JSON, pydantic's errors as ours with the path of the field.

Knows no request; the models stand beside it.
"""

import json
import math
from collections.abc import Iterable
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from wire.errors import InvalidRequest

M = TypeVar("M", bound=BaseModel)
# far below Python's limit, which counts the frames of whoever walks through a value
MAX_DEPTH = 256
_CONTAINERS = (dict, list)


class WireModel(BaseModel):
    # strict: OpenAI takes neither "1" nor true for a number
    # by alias: what is sent on must be what was read ("schema", "json")
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, serialize_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        # clients send back what they were sent: `"tool_calls": null` in a turn is no tool call
        if not isinstance(data, dict):
            return data
        return {k: v for k, v in cast(dict[str, Any], data).items() if v is not None}


def load_json(raw: bytes, what: str = "the body", param: str | None = None) -> Any:
    """Parsed JSON; raises InvalidRequest that says where ``what`` breaks."""
    try:
        # decoded here: json.loads of bytes lets surrogates and UTF-16 through
        value = json.loads(raw.decode("utf-8-sig"), parse_constant=_no_number, parse_float=_finite)
        if b"\\ud" in raw or b"\\uD" in raw:
            # half of a surrogate pair is valid JSON, but no text: nothing could send it on
            json.dumps(value, ensure_ascii=False).encode()
        if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
            _check_depth(value)
        return value
    except UnicodeEncodeError:
        reason = "holds half of a surrogate pair"
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8: {error}"
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        reason = f"is not valid JSON: {error.msg} at {where}"
    except RecursionError:
        reason = f"is nested too deeply: {MAX_DEPTH} levels are taken"
    except _Number as error:
        reason = str(error)
    except ValueError:
        # Python's limit on the digits of one number
        reason = "holds a number with too many digits"
    raise InvalidRequest(f"{what} {reason}", param=param)


class _Number(ValueError):
    """The text is what is wrong with it."""


def _no_number(name: str) -> float:
    raise _Number(f"is not valid JSON: {name} is no number there")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        # could only be sent on as null
        raise _Number("holds a number that is too large")
    return number


def _check_depth(value: Any) -> None:
    """Raises RecursionError here, rather than wherever a part is walked through later."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [c for node in level for c in _children(node) if isinstance(c, _CONTAINERS)]
        if not level:
            return
    raise RecursionError


def _children(node: Any) -> Iterable[Any]:
    return cast(dict[str, Any], node).values() if isinstance(node, dict) else node


def validate(model: type[M], body: dict[str, Any]) -> M:
    """The model of a body; raises InvalidRequest that names the field."""
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
