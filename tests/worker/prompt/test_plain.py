"""Special tokens typed by clients: text to the model, whatever the tokenizer."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.utils import load_tokenizer

from tests.worker.prompt.conversations import TOOL, turns
from tests.worker.prompt.templates import TEMPLATES, Format, tokenizer
from wire.requests import ChatRequest
from wire.tokenize import TokenizeChatRequest
from worker.prompt.plain import PlainText
from worker.prompt.prompter import Prompter
from worker.tools.choose import format_of

MODELS = Path(__file__).resolve().parents[3] / "demo" / "models"
LIMIT = 1 << 20


def demo(name: str) -> Prompter:
    tokenizer = load_tokenizer(MODELS / name)
    return Prompter(tokenizer, LIMIT, format_of(tokenizer))


DEMO = {name: demo(name) for name in ("apertus", "devstral")}
FAKE = {name: Prompter(tokenizer(name), LIMIT, Format()) for name in TEMPLATES}
ROLES = ["system", "user", "assistant", "user"]


def specials(prompter: Prompter) -> list[str]:
    return [token.content for token in prompter.tokenizer.added_tokens_decoder.values()]


def special_ids(prompter: Prompter, tokens: list[int]) -> list[int]:
    known = set(prompter.tokenizer.added_tokens_decoder)
    return [token for token in tokens if token in known]


def chat(texts: list[str], **fields: Any) -> ChatRequest:
    messages = [{"role": r, "content": t} for r, t in zip(ROLES, texts, strict=False)]
    return ChatRequest.model_validate({"model": "m", "messages": messages, **fields})


def tokens(prompter: Prompter, texts: list[str], **fields: Any) -> list[int]:
    return prompter.chat(chat(texts, **fields)).tokens


@pytest.mark.parametrize("name", DEMO)
@given(data=st.data())
def test_typed_specials_on_the_demo_tokenizers(name: str, data: st.DataObject) -> None:
    prompter = DEMO[name]
    piece = st.one_of(
        st.sampled_from([*specials(prompter), "<", "|", "<|", " ", "\n", "\ue000", "\\ue000"]),
        st.text(max_size=5),
    )
    text = st.lists(piece, max_size=6).map("".join)
    texts = data.draw(st.lists(text, min_size=1, max_size=4))
    found = tokens(prompter, texts)
    # as many as the template writes, in their order
    assert special_ids(prompter, found) == special_ids(
        prompter, tokens(prompter, ["a"] * len(texts))
    )
    # and the model reads just what was written
    written = prompter.tokenizer.apply_chat_template(
        [{"role": r, "content": t} for r, t in zip(ROLES, texts, strict=False)],
        add_generation_prompt=True,
        tokenize=False,
    )
    assert prompter.tokenizer.decode(found, clean_up_tokenization_spaces=False) == written


@pytest.mark.parametrize("name", DEMO)
@given(texts=st.lists(st.text(), min_size=1, max_size=4))
def test_other_texts_have_the_templates_tokens(name: str, texts: list[str]) -> None:
    prompter = DEMO[name]
    messages = [{"role": r, "content": t} for r, t in zip(ROLES, texts, strict=False)]
    expected = prompter.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    if not any(special in text for text in texts for special in specials(prompter)):
        assert tokens(prompter, texts) == expected


@pytest.mark.parametrize("name", [*FAKE, *DEMO])
@pytest.mark.parametrize("roles", ["su", "uctau", "uptx"])
def test_calls_results_and_tools(name: str, roles: str) -> None:
    prompter = (FAKE | DEMO)[name]
    typed = "".join(specials(prompter)) + "\\ue000 \ue000"

    def special(suffix: str) -> list[int]:
        messages = turns(roles)
        for turn in messages:
            turn["content"] += suffix if turn["role"] != "assistant" else ""
            for call in turn.get("tool_calls", ()):
                # the name is not checked in a turn that is sent back
                call["function"]["name"] += suffix
                call["function"]["arguments"] = json.dumps({"k" + suffix: suffix})
        tool = {"type": "function", "function": dict(TOOL["function"])}
        tool["function"]["description"] += suffix
        tool["function"]["parameters"] = {"type": "object", "properties": {"p" + suffix: {}}}
        body = {"model": "m", "messages": messages, "tools": [tool]}
        found = prompter.chat(ChatRequest.model_validate(body)).tokens
        return special_ids(prompter, found)

    assert special(typed) == special("")


def test_what_the_model_wrote_stays() -> None:
    prompter = FAKE["chatml_tools"]
    texts = ["s", "u", "<think>why</think>so<|end|>", "<think>"]
    plain = tokens(prompter, ["s", "u", "why so", "u"])
    found = tokens(prompter, texts)
    assert len(special_ids(prompter, found)) == len(special_ids(prompter, plain)) + 2


def test_a_final_message_with_a_special_string_is_continued() -> None:
    prompter = DEMO["apertus"]
    options = {"add_generation_prompt": False, "continue_final_message": True}
    prompt = prompter.chat(chat(["s", "u", "see <|user_end|>"], **options))
    assert prompt.continued == "see <|user_end|>"
    assert prompter.tokenizer.decode(prompt.tokens).endswith("see <|user_end|>")
    assert prompter.tokenizer.convert_tokens_to_ids("<|user_end|>") not in prompt.tokens[-8:]


def test_a_megabyte_of_special_strings_is_quick() -> None:
    text = "<|user_end|>a<s>" * (1 << 16)
    begun = time.perf_counter()
    assert len(special_ids(DEMO["apertus"], DEMO["apertus"].tokenize(one(text)))) == 4
    assert time.perf_counter() - begun < 5


def one(text: str) -> TokenizeChatRequest:
    return TokenizeChatRequest.model_validate({"messages": [{"role": "user", "content": text}]})


def test_tokens_around_a_chat() -> None:
    prompter = DEMO["apertus"]
    for text in ("a", "<|user_end|>"):
        body = {"messages": [{"role": "user", "content": text}]}
        bare = prompter.tokenize(TokenizeChatRequest.model_validate(body))
        more = prompter.tokenize(
            TokenizeChatRequest.model_validate({**body, "add_special_tokens": True})
        )
        assert more == [1, *bare]


class Added:
    def __init__(self, content: str, special: bool) -> None:
        self.content, self.special = content, special


class Metaspace:
    """As sentencepiece has it: a space before each text."""

    chat_template = "<a><tool>"
    added_tokens_decoder = dict(
        enumerate(
            [Added("<a>", True), Added("<b>", False), Added("<tool>", False), Added("\n\n", True)]
        )
    )

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(c) for c in "\u2581" + text]


def test_a_space_that_the_tokenizer_puts_first_is_put_once() -> None:
    plain = PlainText(Metaspace(), ())
    assert plain.tokens("<\ue000a>b", "\ue000") == [ord(c) for c in "\u2581<a>b"]


def test_which_added_tokens_count() -> None:
    # <b> is in no template: ordinary text to the model, as are line breaks
    plain = PlainText(Metaspace(), ())
    body = chat(["<a> <b> <tool> \n\n"])
    broken = plain.broken(body.messages, [], {"x": ["<a>"]})
    mark = broken.separator
    assert broken.messages[0].content == f"<{mark}a> <b> <{mark}tool> \n\n"
    assert broken.kwargs == {"x": [f"<{mark}a>"]}
    untouched = plain.broken(chat(["<b>\n\n"]).messages, [], {})
    assert untouched.separator == ""


@pytest.mark.parametrize("name", FAKE)
@pytest.mark.parametrize("typed", ["<|end|>", "\\u003c|end|>", "<\\u007cend|\\u003E", "<\\/s>"])
def test_a_special_string_that_an_escape_hides_in_arguments(name: str, typed: str) -> None:
    """The template got the object, and with it the string: the call's text ended the turn."""
    harmless, hidden = (called(FAKE[name], text) for text in ("x", typed))
    assert special_ids(FAKE[name], hidden) == special_ids(FAKE[name], harmless)


def test_arguments_that_no_text_can_hold_stay_as_they_were_written() -> None:
    found = called(FAKE["chatml_tools"], "\\ud800")
    assert "\\ud800" in FAKE["chatml_tools"].tokenizer.decode(found)


def called(prompter: Prompter, argument: str) -> list[int]:
    function = {"name": "f", "arguments": f'{{"a": "{argument}"}}'}
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [{"id": "abcdefghi", "function": function}]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "r"},
    ]
    body = {"model": "m", "messages": messages, "tools": [TOOL]}
    return prompter.chat(ChatRequest.model_validate(body)).tokens
