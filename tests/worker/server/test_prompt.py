"""What clients send as messages, and what the template gets."""

from typing import Any

import pytest
from jinja2 import TemplateError

from wire.errors import ContextTooLong, InvalidRequest
from wire.requests import ChatRequest, CompletionRequest, Message
from worker.server.prompt import Prompter, normalise


def message(role: Any, content: Any) -> Message:
    return Message.model_validate({"role": role, "content": content})


@pytest.mark.parametrize(
    ("messages", "system", "turns"),
    [
        ([("user", "a"), ("user", "b")], True, [("user", "a\n\nb")]),
        ([("developer", "be brief"), ("user", "a")], True, [("system", "be brief"), ("user", "a")]),
        ([("system", "be brief"), ("user", "a")], False, [("user", "be brief\n\na")]),
        (
            [("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])],
            True,
            [("user", "ab")],
        ),
        (
            [("user", "a"), ("assistant", None), ("user", "b")],
            True,
            [("user", "a"), ("assistant", ""), ("user", "b")],
        ),
    ],
)
def test_normalise(messages: list[Any], system: bool, turns: list[tuple[str, str]]) -> None:
    result = normalise([message(*m) for m in messages], system=system)
    assert [(t["role"], t["content"]) for t in result] == turns


class Tokenizer:
    """One token a character; its template takes no system turn and no empty user."""

    def apply_chat_template(self, turns: list[dict[str, str]], **_: Any) -> list[int]:
        for turn in turns:
            if turn["role"] == "system":
                raise TemplateError("no system turns")
            if turn["content"] == "!":
                raise TemplateError("not this")
        return [ord(c) for turn in turns for c in turn["content"]]

    def encode(self, text: str) -> list[int]:
        return [ord(c) for c in text]

    def __len__(self) -> int:
        return 1000


@pytest.fixture
def prompter() -> Prompter:
    return Prompter(Tokenizer(), max_model_len=20)


def chat(text: str, **fields: Any) -> ChatRequest:
    return ChatRequest.model_validate(
        {"model": "m", "messages": [{"role": "user", "content": text}], **fields}
    )


def test_a_system_turn_that_the_template_refuses_is_folded(prompter: Prompter) -> None:
    request = ChatRequest.model_validate(
        {
            "model": "m",
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "u"}],
        }
    )
    assert prompter.chat(request) == [ord(c) for c in "S\n\nu"]


def test_what_the_template_refuses_is_the_clients_error(prompter: Prompter) -> None:
    with pytest.raises(InvalidRequest, match="not this") as error:
        prompter.chat(chat("!"))
    assert error.value.param == "messages"


@pytest.mark.parametrize(
    ("text", "fields", "fits"),
    [
        ("x" * 19, {}, True),
        ("x" * 20, {}, False),
        ("x" * 10, {"max_tokens": 10}, True),
        ("x" * 10, {"max_completion_tokens": 11}, False),
    ],
)
def test_the_context(prompter: Prompter, text: str, fields: dict[str, int], fits: bool) -> None:
    if fits:
        assert prompter.room(len(prompter.chat(chat(text, **fields)))) == 20 - len(text)
        return
    with pytest.raises(ContextTooLong, match="context is 20 tokens") as error:
        prompter.chat(chat(text, **fields))
    assert error.value.code == "context_length_exceeded"


@pytest.mark.parametrize("prompt", ["ab", ["ab"], [97, 98]])
def test_completion_prompts(prompter: Prompter, prompt: Any) -> None:
    request = CompletionRequest.model_validate({"model": "m", "prompt": prompt})
    assert prompter.completion(request) == [97, 98]


def test_token_ids_outside_the_vocabulary(prompter: Prompter) -> None:
    request = CompletionRequest.model_validate({"model": "m", "prompt": [5, 1000]})
    with pytest.raises(InvalidRequest, match="1000"):
        prompter.completion(request)
