"""The arguments of earlier calls, which clients send as JSON text. Pure.

Most templates want the object. Text that is none, or that no text can hold (half a surrogate
pair, a number without end), stays as it is.
"""

from typing import Any, cast

from wire.errors import InvalidRequest
from wire.parsing import load_json


def object_of(text: str) -> dict[str, Any] | None:
    """The object that the text says; None where it says none."""
    try:
        value = load_json(text.encode())
    except InvalidRequest:
        return None
    return cast(dict[str, Any], value) if isinstance(value, dict) else None
