"""One rendering of a chat template, as text. Foreign errors become ``TemplateRefusal`` here.

Changes nothing of what it is given. A template's own defaults stay: mlx-lm's wrapper would
set ``enable_thinking`` where nobody did.
"""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

Turn = dict[str, Any]
MAX_REASON = 200


class TemplateRefusal(ValueError):
    """The template can't render that; the text is the reason, without the chat."""


def render(
    tokenizer: Any, turns: Sequence[Turn], tools: Sequence[Turn] | None = None, /, **options: Any
) -> str:
    """The text that the template makes of turns. Raises TemplateRefusal."""
    options = {"add_generation_prompt": True} | options
    if tools:
        options["tools"] = list(tools)
    try:
        text = _unwrapped(tokenizer).apply_chat_template(list(turns), tokenize=False, **options)
    except TemplateError as error:
        # the template's own words
        raise TemplateRefusal(str(error)[:MAX_REASON]) from None
    except ValueError:
        if not options.get("continue_final_message"):
            raise TemplateRefusal("a ValueError while rendering") from None
        # transformers' word for it repeats the whole chat
        raise TemplateRefusal("the final message can't be left open") from None
    except (TypeError, LookupError, AttributeError, AssertionError, ArithmeticError) as error:
        # what a template's expressions raise by themselves; its text might quote the chat
        raise TemplateRefusal(f"a {type(error).__name__} while rendering") from None
    if not isinstance(text, str):
        raise TemplateRefusal("it renders no text")
    return text


def _unwrapped(tokenizer: Any) -> Any:
    """transformers' tokenizer, unless mlx-lm has a template in code for this model.

    mlx-lm 0.32.2, tokenizer_utils.py: ``enable_thinking`` is set to ``has_thinking`` unless
    given, which turns the reasoning of some templates on or off unasked.
    """
    if getattr(tokenizer, "_chat_template", None) is not None:
        return tokenizer
    return getattr(tokenizer, "_tokenizer", tokenizer)
