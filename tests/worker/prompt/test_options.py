"""Template variables: the client's, and those of reasoning_effort."""

import pytest

from wire.errors import InvalidRequest
from worker.prompt.options import template_kwargs

ALL = frozenset({"reasoning_effort", "enable_thinking", "thinking"})


@pytest.mark.parametrize(
    ("given", "effort", "known", "expected"),
    [
        (None, None, ALL, {}),
        ({"date": "today"}, None, frozenset(), {"date": "today"}),
        (
            None,
            "low",
            ALL,
            {"reasoning_effort": "low", "enable_thinking": True, "thinking": True},
        ),
        (None, "none", {"enable_thinking"}, {"enable_thinking": False}),
        (None, "minimal", {"enable_thinking"}, {"enable_thinking": True}),
        ({"enable_thinking": True}, "none", {"enable_thinking"}, {"enable_thinking": True}),
        (None, "none", frozenset(), {}),
        (None, "minimal", frozenset(), {}),
    ],
)
def test_variables(given, effort, known, expected) -> None:
    assert template_kwargs(given, effort, frozenset(known), thinks=False) == expected


def test_a_model_that_does_not_reason() -> None:
    with pytest.raises(InvalidRequest, match="does not reason; leave") as caught:
        template_kwargs(None, "high", frozenset(), thinks=False)
    assert caught.value.param == "reasoning_effort"
    assert template_kwargs(None, "high", frozenset(), thinks=True) == {}


@pytest.mark.parametrize(
    "name", ["messages", "tools", "tokenize", "return_dict", "add_generation_prompt", "bos_token"]
)
def test_ours_are_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"'{name}' is not the client's") as caught:
        template_kwargs({name: 1}, None, ALL, thinks=True)
    assert caught.value.param == f"chat_template_kwargs.{name}"
