"""Requests to tokens: every family of templates gets every conversation, and nothing is lost."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.prompt.conversations import TOOL, turns
from tests.worker.prompt.templates import TEMPLATES, Format, Tokenizer, tokenizer
from wire.errors import ContextTooLong, InvalidRequest
from wire.requests import ChatRequest, CompletionRequest
from worker.prompt.fold import FOLDS
from worker.prompt.prompter import ChatPrompt, Prompter

LIMIT = 1 << 30
PROMPTERS = {name: Prompter(tokenizer(name), LIMIT, Format()) for name in TEMPLATES}
OPEN = {"add_generation_prompt": False, "continue_final_message": True}


def request(roles: str | list[Any], **fields: Any) -> ChatRequest:
    messages = turns(roles) if isinstance(roles, str) else roles
    return ChatRequest.model_validate({"model": "m", "messages": messages, **fields})


def text_of(prompter: Prompter, prompt: ChatPrompt) -> str:
    return prompter.tokenizer.decode(prompt.tokens)


def lost(text: str, roles: str) -> list[str]:
    """Texts that are not in the prompt, or not in order."""
    words = [f"W{i}." for i in range(len(roles))]
    missing = [word for word in words if word not in text]
    found = [text.find(word) for word in words]
    return missing or ([] if found == sorted(found) else ["the order"])


# the letters are those of ``turns``; a template that is not named folds nothing
FOLDED: dict[str, dict[str, str]] = {
    "u": {},
    "ua": {},
    "su": {"strict_no_system": "system"},
    "du": {
        "strict_no_system": "developer system",
        "system_first": "developer",
        "strict_tools": "developer",
        "chatml_tools": "developer",
        "ipython": "developer",
        "plain": "developer",
    },
    "ssu": {
        "strict_no_system": "system",
        "system_first": "turns",
        "strict_tools": "turns",
        "developer": "turns",
    },
    "sdu": {
        "strict_no_system": "developer system",
        "system_first": "developer turns",
        "strict_tools": "developer turns",
        "chatml_tools": "developer",
        "ipython": "developer",
        "plain": "developer",
    },
    "uu": {"strict_no_system": "turns", "strict_tools": "turns"},
    "uaau": {"strict_no_system": "turns", "strict_tools": "turns"},
    "au": {"strict_no_system": "turns", "strict_tools": "turns"},
    "sau": {"strict_no_system": "system", "strict_tools": "turns"},
    "uasu": {
        "strict_no_system": "system turns",
        "system_first": "system",
        "strict_tools": "system turns",
        "developer": "system",
    },
    "s": {"strict_no_system": "system", "strict_tools": "system"},
    "uct": {
        "strict_no_system": "tool_calls tool_turns",
        "system_first": "tool_calls tool_turns",
        "strict_tools": "tool_ids",
        "plain": "tool_calls tool_turns",
    },
    "uctau": {
        "strict_no_system": "tool_calls tool_turns",
        "system_first": "tool_calls tool_turns",
        "strict_tools": "tool_ids",
        "plain": "tool_calls tool_turns",
    },
    "uptx": {
        "strict_no_system": "turns tool_calls tool_turns",
        "system_first": "tool_calls tool_turns",
        "strict_tools": "tool_ids",
        "ipython": "turns tool_calls tool_turns",
        "plain": "tool_calls tool_turns",
    },
    # a user turn where the answer to the result is due
    "uctu": {
        "strict_no_system": "turns tool_calls tool_turns",
        "system_first": "tool_calls tool_turns",
        "strict_tools": "turns tool_calls tool_turns",
        "plain": "tool_calls tool_turns",
    },
}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("roles", FOLDED)
def test_conversations(name: str, roles: str) -> None:
    prompter = PROMPTERS[name]
    prompt = prompter.chat(request(roles))
    text = text_of(prompter, prompt)
    assert prompt.folded == tuple(FOLDED[roles].get(name, "").split())
    in_last_turn = name == "strict_tools" and roles[0] == "s"
    assert not lost(text, roles) or (in_last_turn and lost(text, roles) == ["the order"])
    for i in range(("c" in roles) + 2 * ("p" in roles)):
        assert f"R{i}" in text
    assert prompt.in_reasoning == (name == "chatml_tools")


TOOLS_FOLDED = {"strict_no_system", "system_first", "plain"}


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("roles", ["u", "su", "au"])
def test_tools_are_shown(name: str, roles: str) -> None:
    prompter = PROMPTERS[name]
    prompt = prompter.chat(request(roles, tools=[TOOL]))
    text = text_of(prompter, prompt)
    assert "resistor" in text
    assert "DESCRIBED" in text
    expected = set(FOLDED[roles].get(name, "").split())
    if name in TOOLS_FOLDED:
        expected |= {"tools"}
        # the instructions open the conversation, which then opens with a user turn
        expected -= {"turns"}
    assert set(prompt.folded) == expected
    assert ("TOOL" in text.replace("[TOOLS]", "").replace("[/TOOLS]", "")) == (name in TOOLS_FOLDED)
    hidden = prompter.chat(request(roles, tools=[TOOL], tool_choice="none"))
    assert "resistor" not in text_of(prompter, hidden)
    assert hidden == prompter.chat(request(roles))


@given(
    name=st.sampled_from(sorted(TEMPLATES)),
    roles=st.text("sduacptx", min_size=1, max_size=8),
    tools=st.booleans(),
    cut=st.booleans(),
)
def test_nothing_is_lost(name: str, roles: str, tools: bool, cut: bool) -> None:
    prompter = PROMPTERS[name]
    fields: dict[str, Any] = {"tools": [TOOL]} if tools else {}
    if cut:
        fields |= OPEN
    try:
        prompt = prompter.chat(request(roles, **fields))
    except InvalidRequest:
        # a call, a result, or what the template does not put last can't be continued
        if not cut:
            raise
        return
    text = text_of(prompter, prompt)
    assert [word for word in lost(text, roles) if word != "the order"] == []
    assert "resistor" in text or not (tools or set(roles) & set("cp"))
    assert [name for name in FOLDS if name in prompt.folded] == list(prompt.folded)
    assert prompt.continued == (f"W{len(roles) - 1}." if cut else "")


def test_parts_nulls_names_and_reasoning() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "reasoning": "THOUGHT"},
        {"role": "user", "content": "c", "name": "ann"},
    ]
    prompter = PROMPTERS["chatml_tools"]
    prompt = prompter.chat(request(messages))
    assert prompt.folded == ()
    assert "\nab<|end|>" in text_of(prompter, prompt)
    assert "<think>THOUGHT</think>" in text_of(prompter, prompt)
    named = Prompter(
        Tokenizer("{% for m in messages %}{{ m.name }}:{{ m.content }}{% endfor %}"), 99
    )
    assert text_of(named, named.chat(request(messages))).endswith("ann:c")


def test_arguments_are_objects_where_they_are() -> None:
    prompter = PROMPTERS["chatml_tools"]
    for arguments, written in [('{"a":  1}', '{"a": 1}'), ("{broken", "{broken"), ("[1]", "[1]")]:
        messages = turns("uct")
        messages[1]["tool_calls"][0]["function"]["arguments"] = arguments
        text = text_of(prompter, prompter.chat(request(messages)))
        assert f'"arguments": {written}' in text


def test_ids_that_the_template_takes_stay() -> None:
    messages = turns("uct")
    messages[1]["tool_calls"][0]["id"] = messages[2]["tool_call_id"] = "abc123DEF"
    prompt = PROMPTERS["strict_tools"].chat(request(messages))
    assert prompt.folded == ()
    assert "[RESULT]abc123DEF:" in text_of(PROMPTERS["strict_tools"], prompt)


def test_without_a_format_tools_are_refused_not_dropped() -> None:
    with pytest.raises(InvalidRequest, match="takes no tools") as caught:
        Prompter(tokenizer("plain"), 999).chat(request("u", tools=[TOOL]))
    assert caught.value.param == "tools"
    with pytest.raises(InvalidRequest, match="takes no tools"):
        Prompter(tokenizer("plain"), 999).chat(request("uct"))


def test_tools_that_the_template_leaves_out_after_all() -> None:
    # ipython's writes tools only into a first turn that is no result
    prompt = PROMPTERS["ipython"].chat(request("tu", tools=[TOOL]))
    assert "resistor" in text_of(PROMPTERS["ipython"], prompt)
    assert "tools" in prompt.folded
    with pytest.raises(InvalidRequest, match="leaves out tools"):
        Prompter(tokenizer("ipython"), 999).chat(request("tu", tools=[TOOL]))


def test_a_folded_result_names_its_call() -> None:
    text = text_of(PROMPTERS["plain"], PROMPTERS["plain"].chat(request("uct")))
    assert "Result of the call call_123456789ab to resistor:\nW2." in text
    alone = text_of(PROMPTERS["plain"], PROMPTERS["plain"].chat(request("ut")))
    assert "Result of the call call_123456789ab:\nW1." in alone


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_message_is_continued(name: str) -> None:
    prompt = PROMPTERS[name].chat(request("ua", **OPEN))
    assert prompt.continued == "W1."
    assert text_of(PROMPTERS[name], prompt).endswith("W1.")
    assert not prompt.in_reasoning


@pytest.mark.parametrize("roles", ["uc", "uct"])
def test_calls_and_results_are_not_continued(roles: str) -> None:
    with pytest.raises(InvalidRequest, match="final message of text") as caught:
        PROMPTERS["chatml_tools"].chat(request(roles, **OPEN))
    assert caught.value.param == "messages"


def test_a_final_message_that_the_template_moves() -> None:
    prompter = Prompter(Tokenizer("{{ messages[0].content }}"), 99)
    with pytest.raises(InvalidRequest, match="can't be left open") as caught:
        prompter.chat(request("ua", **OPEN))
    assert "W1" not in caught.value.message


@pytest.mark.parametrize(
    ("final", "inside"),
    [("<think>so far", True), ("<think>done</think>and", False), ("</think>", False), ("a", False)],
)
def test_a_thought_is_continued(final: str, inside: bool) -> None:
    messages = [*turns("u"), {"role": "assistant", "content": final}]
    assert PROMPTERS["chatml_tools"].chat(request(messages, **OPEN)).in_reasoning == inside


def test_effort() -> None:
    prompter = PROMPTERS["chatml_tools"]
    assert not prompter.chat(request("u", reasoning_effort="none")).in_reasoning
    assert prompter.chat(request("u", reasoning_effort="low")).in_reasoning
    kwargs = {"enable_thinking": False}
    assert not prompter.chat(request("u", chat_template_kwargs=kwargs)).in_reasoning
    both = request("u", chat_template_kwargs=kwargs, reasoning_effort="high")
    assert not prompter.chat(both).in_reasoning
    with pytest.raises(InvalidRequest, match="does not reason"):
        PROMPTERS["plain"].chat(request("u", reasoning_effort="high"))


@pytest.mark.parametrize("name", ["turns", "tokenizer", "render_", "args", "x y", "__class__"])
def test_a_variable_of_any_name(name: str) -> None:
    prompter = PROMPTERS["plain"]
    assert prompter.chat(request("u", chat_template_kwargs={name: 1})) == prompter.chat(
        request("u")
    )


def test_what_the_template_refuses_is_the_clients_error() -> None:
    template = "{% for m in messages %}{% if m.content == '!' %}{{ raise_exception('not this') }}"
    prompter = Prompter(Tokenizer(template + "{% endif %}{{ m.content }}{% endfor %}"), 99)
    with pytest.raises(InvalidRequest, match="refuses these messages: not this") as caught:
        prompter.chat(request([{"role": "user", "content": "!"}]))
    assert caught.value.param == "messages"


def test_a_template_that_fails_on_anything() -> None:
    with pytest.raises(ValueError, match="single user turn"):
        Prompter(Tokenizer("{{ raise_exception('x') }}"), 99)


CONTENT = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("length", "fields", "fits"),
    [
        (19, {}, True),
        (20, {}, False),
        (10, {"max_tokens": 10}, True),
        (10, {"max_completion_tokens": 11}, False),
    ],
)
def test_the_context(length: int, fields: dict[str, int], fits: bool) -> None:
    prompter = Prompter(Tokenizer(CONTENT), 20)
    body = request([{"role": "user", "content": "x" * length}], **fields)
    if fits:
        assert prompter.room(len(prompter.chat(body).tokens)) == 20 - length
        return
    with pytest.raises(ContextTooLong, match="context is 20 tokens") as caught:
        prompter.chat(body)
    assert caught.value.code == "context_length_exceeded"


def completion(prompt: Any, **fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate({"model": "m", "prompt": prompt, **fields})


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        ("ab", [[97, 98]]),
        (["ab"], [[97, 98]]),
        (["ab", "c"], [[97, 98], [99]]),
        ([97, 98], [[97, 98]]),
        ([[97, 98], [99]], [[97, 98], [99]]),
    ],
)
def test_completion_prompts(prompt: Any, tokens: list[list[int]]) -> None:
    prompter = Prompter(tokenizer("plain"), 20)
    assert prompter.completions(completion(prompt, add_special_tokens=False)) == tokens
    if isinstance(prompt, str):
        (bos, *rest) = prompter.completions(completion(prompt))[0]
        assert [rest] == tokens
        assert bos in prompter.tokenizer.special_ids


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ([5, 2**30], "prompt"),
        ([[5], [5, 2**30]], "prompt[1]"),
        ("x" * 20, "prompt"),
        (["x", "y", "x" * 20], "prompt[2]"),
    ],
)
def test_a_bad_prompt_is_named(prompt: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Prompter(tokenizer("plain"), 20).completions(completion(prompt))
    assert caught.value.param == param


def test_no_token_need_be_generated() -> None:
    prompter = Prompter(tokenizer("plain"), 20)
    bare = {"add_special_tokens": False, "echo": True}
    assert prompter.completions(completion("x" * 20, max_tokens=0, **bare))
    with pytest.raises(ContextTooLong):
        prompter.completions(completion("x" * 20, max_tokens=1, **bare))


def test_a_megabyte_is_quick() -> None:
    rendered = PROMPTERS["chatml_tools"].render
    body = request([{"role": "user", "content": "<p> a <|x [INST " * (1 << 16)}])
    begun = time.perf_counter()
    assert len(rendered(body).text) > 1 << 20
    assert time.perf_counter() - begun < 2
