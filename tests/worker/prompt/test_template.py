"""What is found out about templates of the known families."""

from typing import Any

import pytest

from tests.worker.prompt.templates import TEMPLATES, Tokenizer, tokenizer
from worker.prompt.render import TemplateRefusal, render
from worker.prompt.template import Capabilities, check_template, plainest, probe

USER = [{"role": "user", "content": "hi"}]
ALL = Capabilities()


def features(known: Capabilities) -> set[str]:
    names = "system system_twice system_later developer repeats assistant_first tools tool_turns"
    return {name for name in names.split() if getattr(known, name)}


@pytest.mark.parametrize(
    ("name", "accepted", "calls", "any_id"),
    [
        ("strict_no_system", "", None, True),
        ("system_first", "system repeats assistant_first", None, True),
        ("strict_tools", "system tools tool_turns", "dict", False),
        (
            "chatml_tools",
            "system system_twice system_later repeats assistant_first tools tool_turns",
            "dict",
            True,
        ),
        ("developer", "system developer repeats assistant_first tools tool_turns", "text", True),
        (
            "ipython",
            "system system_twice system_later repeats assistant_first tools tool_turns",
            "dict",
            True,
        ),
        ("plain", "system system_twice system_later repeats assistant_first", None, True),
    ],
)
def test_families(name: str, accepted: str, calls: str | None, any_id: bool) -> None:
    known = probe(tokenizer(name))
    assert features(known) == set(accepted.split())
    assert (known.tool_calls, known.any_call_id) == (calls, any_id)
    assert known.thinking == ({"enable_thinking"} if name == "chatml_tools" else set())


def test_the_plainest_accepts_nothing() -> None:
    known = Capabilities(thinking=frozenset({"thinking"}))
    assert not features(plainest(known))
    assert plainest(known).thinking == known.thinking


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_that_works(name: str) -> None:
    check_template(tokenizer(name))


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('broken') }}", "broken"),
        ("{% for m in messages %}{{ m.content + 1 }}{% endfor %}", "TypeError"),
        ("{{ messages[3].content }}", "no element 3"),
        ("{% for", "unexpected|expected"),
        ("nothing", "leaves out"),
    ],
)
def test_a_template_that_does_not(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_template(Tokenizer(template))


def test_the_templates_own_default_stays() -> None:
    # mlx-lm's wrapper sets enable_thinking where nobody did
    class Wrapper:
        _tokenizer = Tokenizer("{{ messages[0].content }}{{ enable_thinking is defined }}")

        def apply_chat_template(self, *args: Any, **options: Any) -> Any:
            options.setdefault("enable_thinking", False)
            return self._tokenizer.apply_chat_template(*args, **options)

    assert render(Wrapper(), USER) == "hiFalse"
    in_code = Wrapper()
    in_code._chat_template = "one of mlx-lm's own"  # type: ignore[attr-defined]
    assert render(in_code, USER) == "hiTrue"


def test_a_refusal_does_not_repeat_the_chat() -> None:
    final = [*USER, {"role": "assistant", "content": "secret"}]
    drops = Tokenizer("{{ messages[0].content }}")
    options = {"add_generation_prompt": False, "continue_final_message": True}
    with pytest.raises(TemplateRefusal, match="left open") as caught:
        render(drops, final, **options)
    assert "secret" not in str(caught.value)
