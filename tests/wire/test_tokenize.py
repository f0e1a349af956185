"""vLLM's tokenize and detokenize: what is taken, what is refused and by which name."""

import json

import pytest

from wire.errors import InvalidRequest, UnsupportedField
from wire.tokenize import (
    UNSUPPORTED_TOKENIZE,
    TokenizeChatRequest,
    TokenizeCompletionRequest,
    parse_detokenize,
    parse_tokenize,
)

USER = {"role": "user", "content": "hi"}


def tokenize(**body):
    return parse_tokenize(json.dumps(body).encode())


def detokenize(**body):
    return parse_detokenize(json.dumps(body).encode())


def refusal(parse, **body):
    with pytest.raises(InvalidRequest) as caught:
        parse(**body)
    return caught.value


def test_the_defaults_are_those_of_vllm():
    plain, chat = tokenize(prompt="p"), tokenize(messages=[USER])
    assert isinstance(plain, TokenizeCompletionRequest)
    assert (plain.model, plain.add_special_tokens, plain.return_token_strs) == (None, True, False)
    assert isinstance(chat, TokenizeChatRequest)
    assert (chat.model, chat.add_special_tokens, chat.return_token_strs) == (None, False, False)
    assert (chat.add_generation_prompt, chat.continue_final_message) == (True, False)
    assert (chat.tools, chat.chat_template_kwargs) == (None, None)


@pytest.mark.parametrize("text", ["", " ", "é日本"])
def test_any_prompt_is_taken_the_empty_one_too(text):
    assert tokenize(model="m", prompt=text).prompt == text


def test_null_is_absent():
    nothing = dict.fromkeys(["model", "return_token_strs", "add_special_tokens", "messages"])
    assert tokenize(prompt="p", **nothing) == tokenize(prompt="p")
    assert detokenize(model=None, tokens=[]) == detokenize(tokens=[])


@pytest.mark.parametrize("field", UNSUPPORTED_TOKENIZE)
def test_a_template_of_ones_own_is_refused_by_name(field):
    error = refusal(tokenize, messages=[USER], **{field: [{"x": 1}]})
    assert isinstance(error, UnsupportedField)
    assert error.param == field
    for nothing in (None, *UNSUPPORTED_TOKENIZE[field]):
        assert tokenize(messages=[USER], **{field: nothing}) == tokenize(messages=[USER])


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "prompt", None),
        ({"prompt": "p", "messages": [USER]}, "prompt", None),
        ({"prompt": ["p"]}, "prompt", None),
        ({"messages": []}, "messages", None),
        ({"messages": [{"role": "user"}]}, "messages[0]", None),
        ({"prompt": "p", "add_special_tokens": 1}, "add_special_tokens", None),
        ({"prompt": "p", "model": ""}, "model", None),
        ({"prompt": "p", "add_generation_prompt": True}, "add_generation_prompt", "unknown"),
        ({"messages": [USER], "tools": [{"type": "function"}]}, "tools[0].function", None),
        ({"messages": [USER], "tools": [{}] * 129}, "tools", None),
        ({"prompt": "p", "tools": []}, "tools", "unknown"),
        ({"messages": [USER], "chat_template_kwargs": []}, "chat_template_kwargs", None),
        ({"messages": [USER], "typo": 1}, "typo", "unknown"),
        ({"messages": [USER], "continue_final_message": True}, "continue_final_message", None),
    ],
)
def test_refused(body, param, code):
    error = refusal(tokenize, **body)
    assert (error.param, error.code) == (param, code and "unknown_parameter")


def test_tools_and_template_variables():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    chat = tokenize(messages=[USER], tools=[tool], chat_template_kwargs={"x": [1]})
    assert isinstance(chat, TokenizeChatRequest)
    assert chat.tools is not None
    assert chat.tools[0].function.name == "f"
    assert chat.chat_template_kwargs == {"x": [1]}


def test_a_message_is_continued_where_none_is_begun():
    body = {"messages": [USER], "continue_final_message": True, "add_generation_prompt": False}
    assert tokenize(**body).continue_final_message


@pytest.mark.parametrize("tokens", [[1.5], [True], ["1"], "1"])
def test_tokens_are_integers(tokens):
    assert refusal(detokenize, tokens=tokens).param in ("tokens", "tokens[0]")


def test_tokens_are_needed():
    assert refusal(detokenize, model="m").param == "tokens"
    assert refusal(detokenize, tokens=[1], prompt="p").code == "unknown_parameter"
