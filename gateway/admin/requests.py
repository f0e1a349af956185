"""Bodies of vLLM's adapter endpoints, with ``base`` and ``domain`` of ours. Bytes in, models out.

Source: vLLM, ``vllm/entrypoints/serve/lora/protocol.py``. Faults have its code for user input.
"""

from typing import Annotated, Any, TypeVar, cast

from pydantic import Field

from wire.errors import InvalidRequest
from wire.parsing import WireModel, load_json, validate

INVALID = "InvalidUserInput"
MISSING = "NotFoundError"

M = TypeVar("M", bound=WireModel)
Given = Annotated[str, Field(min_length=1, max_length=256)]


class LoadAdapterRequest(WireModel):
    """``POST /v1/load_lora_adapter``."""

    lora_name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", max_length=63)]
    lora_path: Annotated[str, Field(min_length=1, max_length=4096)]
    load_inplace: bool = False
    base: Given | None = None
    domain: Given | None = None


class UnloadAdapterRequest(WireModel):
    """``POST /v1/unload_lora_adapter``."""

    lora_name: Given


def parse_load(raw: bytes) -> LoadAdapterRequest:
    return _parse(LoadAdapterRequest, raw)


def parse_unload(raw: bytes) -> UnloadAdapterRequest:
    return _parse(UnloadAdapterRequest, raw)


def _parse(model: type[M], raw: bytes) -> M:
    """Raises InvalidRequest with vLLM's code, where there is no closer one."""
    body = load_json(raw)
    try:
        if not isinstance(body, dict):
            raise InvalidRequest("the body is not a JSON object")
        return validate(model, cast(dict[str, Any], body))
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param=error.param, code=error.code or INVALID) from None
