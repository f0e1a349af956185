"""Which standard request fields are honoured, which are refused by name.

A standard field that this version does not support passes only with a value that asks
for nothing (``null`` or its neutral value); anything else is a 400 that names it. That is
checked before the models see the body, so nothing is dropped without a word.
"""

from typing import Any, cast

from wire.errors import InvalidRequest, UnsupportedField

# field -> values that change nothing, besides null
UNSUPPORTED_CHAT: dict[str, tuple[Any, ...]] = {
    "audio": (),
    "chat_template": (),
    "documents": ([],),
    "function_call": ("none",),
    "functions": ([],),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": ("in_memory",),
    "verbosity": ("medium",),
    "web_search_options": (),
}

UNSUPPORTED_COMPLETION: dict[str, tuple[Any, ...]] = {
    "best_of": (1,),
    "suffix": ("",),
}


def plan_fields(body: Any, unsupported: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """The body without nulls and neutral fields; raises InvalidRequest or UnsupportedField."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    kept: dict[str, Any] = {}
    for name, value in cast(dict[str, Any], body).items():
        if value is None:
            continue
        if name in unsupported:
            if not _is_neutral(value, unsupported[name]):
                raise UnsupportedField(f"'{name}' is not supported; leave it out", param=name)
            continue
        kept[name] = value
    return kept


def _is_neutral(value: Any, neutral: tuple[Any, ...]) -> bool:
    # bool is an int in Python: n=true must not pass as n=1
    return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in neutral)
