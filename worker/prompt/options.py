"""What a request gives a template besides turns and tools. Pure.

A client's own variables come first, then ``reasoning_effort``; what neither sets is the
template's own default.
"""

from typing import Any

from wire.errors import InvalidRequest

# arguments of apply_chat_template and of the renderer below it, and the tokens of the model
_OURS = frozenset(
    (
        "add_generation_prompt",
        "chat_template",
        "continue_final_message",
        "conversation",
        "conversations",
        "documents",
        "max_length",
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sanitize_control_tokens",
        "tokenize",
        "tokenizer_kwargs",
        "tools",
        "truncation",
        "bos_token",
        "eos_token",
        "pad_token",
        "unk_token",
        "sep_token",
        "cls_token",
        "mask_token",
        "self",
    )
)
_NO_REASONING = ("none", "minimal")


def template_kwargs(
    given: dict[str, Any] | None, effort: str | None, known: frozenset[str], *, thinks: bool
) -> dict[str, Any]:
    """Variables for the template. ``known``: those that switch its reasoning; ``thinks``: the
    tokenizer has marks of thoughts. Raises InvalidRequest."""
    given = given or {}
    for name in given:
        if name in _OURS:
            raise InvalidRequest(
                f"chat_template_kwargs: '{name}' is not the client's to set; leave it out",
                param=f"chat_template_kwargs.{name}",
            )
    return _effort_kwargs(effort, known, thinks=thinks) | given


def _effort_kwargs(effort: str | None, known: frozenset[str], *, thinks: bool) -> dict[str, Any]:
    if effort is None:
        return {}
    if not known and not thinks and effort not in _NO_REASONING:
        raise InvalidRequest(
            "this model does not reason; leave reasoning_effort out, or send 'none'",
            param="reasoning_effort",
        )
    on = effort != "none"
    values = {"reasoning_effort": effort, "enable_thinking": on, "thinking": on}
    return {name: value for name, value in values.items() if name in known}
