"""One choice: what is streamed adds up to the whole, pieces, calls and log-probabilities alike."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.utils import load_tokenizer
from openai.types.chat.chat_completion import Choice as OpenAIChoice
from openai.types.chat.chat_completion_chunk import Choice as OpenAIChunkChoice
from openai.types.completion_choice import CompletionChoice

from tests.worker.conftest import ROOT
from wire.responses import Usage
from wire.tools import FunctionSpec
from worker.engine.request import Finished, Scored, Text, TokenLogprob
from worker.server.choices import ChatChoice, Choice, Chunk, Echo, PlainReader, TextChoice
from worker.server.token_text import TokenTexts
from worker.tools.choose import format_of, marks_of
from worker.tools.reader import Reader

TOKENIZER = load_tokenizer(ROOT / "demo" / "models" / "apertus")
TEXTS = TokenTexts(TOKENIZER)
FORMAT = format_of(TOKENIZER)
MARKS = marks_of(TOKENIZER, FORMAT)
FUNCTION = FunctionSpec(name="f")
CALL = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'


def logprobs(text: str) -> tuple[TokenLogprob, ...]:
    tokens = TOKENIZER.encode(text, add_special_tokens=False)
    return tuple(TokenLogprob(token, -1.0) for token in tokens)


def run(
    choice: Choice, parts: Sequence[str], end: Finished, *, scored: bool = False
) -> list[Chunk]:
    chunks = choice.first()
    for part in parts:
        chunks += choice.on_text(Text(part, logprobs(part) if scored else ()))
    return chunks + choice.on_end(end)


def finished(reason: Any = "stop", **more: Any) -> Finished:
    return Finished(reason, Usage(3, 2), **more)


def reading() -> Reader:
    return Reader(MARKS, FORMAT, [FUNCTION])


def joined(chunks: list[Chunk]) -> dict[str, Any]:
    """What a client makes of the deltas."""
    content, calls = "", dict[int, dict[str, str]]()
    for chunk in chunks:
        OpenAIChunkChoice.model_validate(chunk)
        delta = chunk["delta"]
        content += delta.get("content") or ""
        for call in delta.get("tool_calls") or []:
            known = calls.setdefault(call["index"], {"name": "", "arguments": "", "id": ""})
            known["id"] += call.get("id", "")
            for key, text in call["function"].items():
                known[key] += text
    return {"content": content, "calls": [calls[index] for index in sorted(calls)]}


def test_plain_text() -> None:
    choice = ChatChoice(0, PlainReader(), None)
    chunks = run(choice, ["Hel", "lo"], finished())
    assert chunks[0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert joined(chunks)["content"] == "Hello"
    whole = OpenAIChoice.model_validate(choice.whole())
    assert (whole.message.content, whole.finish_reason, whole.logprobs) == ("Hello", "stop", None)


@given(cuts=st.lists(st.integers(0, len(CALL) + 8), max_size=6))
def test_calls_are_the_same_streamed_and_whole_however_the_text_is_cut(cuts: list[int]) -> None:
    text = f"Let me. {CALL}"
    at = [0, *sorted({cut for cut in cuts if 0 < cut < len(text)}), len(text)]
    choice = ChatChoice(2, reading(), None)
    chunks = run(choice, [text[a:b] for a, b in pairwise(at)], finished())
    assert {chunk["index"] for chunk in chunks} == {2}
    seen = joined(chunks)
    whole = choice.whole()
    (call,) = whole["message"]["tool_calls"]
    assert seen["calls"] == [{**call["function"], "id": call["id"]}]
    assert json.loads(call["function"]["arguments"]) == {"a": 1}
    assert whole["message"]["content"] == seen["content"]
    assert (whole["finish_reason"], chunks[-1]["finish_reason"]) == ("tool_calls", "tool_calls")


def test_calls_alone_have_no_content() -> None:
    choice = ChatChoice(0, reading(), None)
    run(choice, [CALL], finished())
    assert choice.whole()["message"]["content"] is None


def test_calls_cut_off_by_the_limit_end_by_it() -> None:
    choice = ChatChoice(0, reading(), None)
    chunks = run(choice, [CALL[:40]], finished("length"))
    assert chunks[-1]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CALL[: CALL.index("}}")], "stop"),
        (CALL[: CALL.index(": 1")], "stop"),
        (CALL[: CALL.index("</")], "tool_calls"),
        (CALL + CALL[: CALL.index(": 1")], "stop"),
    ],
)
def test_a_call_that_a_stop_string_broke_off_is_not_to_be_run(text: str, reason: str) -> None:
    choice = ChatChoice(0, reading(), None)
    chunks = run(choice, [text], finished(stop="x"))
    assert (chunks[-1]["finish_reason"], chunks[-1]["stop_reason"]) == (reason, "x")
    assert choice.whole()["finish_reason"] == reason


def test_an_answer_without_a_word_is_an_empty_text() -> None:
    choice = ChatChoice(0, PlainReader(), None)
    run(choice, [], finished())
    assert choice.whole()["message"]["content"] == ""


def test_every_logprob_comes_once_streamed_and_whole() -> None:
    """Also those whose text the reader still held back."""
    choice = ChatChoice(0, reading(), TEXTS)
    parts = ["a <tool", "_x> b", " c"]
    chunks = run(choice, parts, finished(), scored=True)
    shown = [
        entry for chunk in chunks if chunk["logprobs"] for entry in chunk["logprobs"]["content"]
    ]
    assert shown == choice.whole()["logprobs"]["content"]
    assert "".join(entry["token"] for entry in shown) == "".join(parts)
    OpenAIChoice.model_validate(choice.whole())


def test_an_echo_opens_the_answer() -> None:
    choice = ChatChoice(0, PlainReader(), None, "The answer")
    chunks = run(choice, [" is 4"], finished())
    assert joined(chunks)["content"] == "The answer is 4" == choice.whole()["message"]["content"]


@pytest.mark.parametrize(
    ("end", "fields"),
    [
        (finished(stop="##"), {"finish_reason": "stop", "stop_reason": "##"}),
        (finished(stop=7), {"finish_reason": "stop", "stop_reason": 7}),
        (finished("length"), {"finish_reason": "length", "stop_reason": None}),
    ],
)
def test_what_ended_it(end: Finished, fields: dict[str, Any]) -> None:
    for choice in (ChatChoice(0, PlainReader(), None), text_choice()):
        last = run(choice, ["x"], end)[-1]
        assert {name: last[name] for name in fields} == fields
        assert {name: choice.whole()[name] for name in fields} == fields


def text_choice(**more: Any) -> TextChoice:
    fields: dict[str, Any] = {"echo": None, "shows_logprobs": False, "shows_prompt": False}
    return TextChoice(0, TEXTS, **(fields | more))


def test_text_completion() -> None:
    choice = text_choice(shows_logprobs=True)
    chunks = run(choice, ["Ohm", "'s law"], finished(), scored=True)
    whole = choice.whole()
    CompletionChoice.model_validate(whole)
    assert "".join(chunk["text"] for chunk in chunks) == whole["text"] == "Ohm's law"
    for field in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        pieces = [item for c in chunks if c["logprobs"] for item in c["logprobs"][field]]
        assert pieces == whole["logprobs"][field]
    for token, at in zip(
        whole["logprobs"]["tokens"], whole["logprobs"]["text_offset"], strict=True
    ):
        assert whole["text"][at:].startswith(token)


@pytest.mark.parametrize("lead", ["", "<s>"])
def test_an_echo_has_the_prompt_and_its_scores(lead: str) -> None:
    tokens = ([1] if lead else []) + TOKENIZER.encode("Ohm's", add_special_tokens=False)
    choice = text_choice(echo=Echo(tokens, "Ohm's", len(lead)), shows_logprobs=True)
    scores = (None, *(TokenLogprob(token, -2.0) for token in tokens[1:]))
    chunks = choice.first() + choice.on_scored(Scored(scores))
    chunks += choice.on_text(Text(" law", logprobs(" law"))) + choice.on_end(finished())
    whole = choice.whole()
    assert "".join(chunk["text"] for chunk in chunks) == whole["text"] == "Ohm's law"
    shown = whole["logprobs"]
    assert shown["token_logprobs"] == [None, *[-2.0] * (len(tokens) - 1), -1.0]
    assert shown["text_offset"][-1] == len("Ohm's")
    assert shown["text_offset"][0] == 0


def test_an_echo_without_scores_comes_first() -> None:
    choice = text_choice(echo=Echo([5], "x"))
    assert choice.first()[0]["text"] == "x"
    run_rest = choice.on_text(Text("y")) + choice.on_end(finished())
    assert [chunk["text"] for chunk in run_rest] == ["y", ""]
    assert choice.whole()["text"] == "xy"


def test_prompt_logprobs_stand_beside_a_text() -> None:
    choice = text_choice(shows_prompt=True)
    assert choice.on_scored(Scored((None, TokenLogprob(5, -1.0)))) == []
    run(choice, ["x"], finished())
    first, second = choice.whole()["prompt_logprobs"]
    assert first is None
    assert second["5"]["logprob"] == -1.0
