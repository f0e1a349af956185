"""Guides in the scheduler, with runs made by hand."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import pytest

from tests.worker.conftest import Bench
from wire.errors import EngineFailed
from worker.engine.request import Failed, SamplingParams


@dataclass
class Spelling:
    """Allows the given tokens one after the other, then nothing."""

    tokens: Sequence[int]
    prompt_tokens: int
    closes_at: int | None = None
    fails_at: int | None = None
    made: int = 0

    @property
    def done(self) -> bool:
        return self.made >= len(self.tokens)

    @property
    def closing(self) -> bool:
        return self.closes_at is not None and self.made >= self.closes_at

    def __call__(self, tokens: Any, logits: Any) -> Any:
        self.made = tokens.shape[0] - self.prompt_tokens
        if self.made == self.fails_at:
            raise ValueError("the text of somebody's answer")
        if self.done:
            return logits
        mask = mx.full(logits.shape, -mx.inf, logits.dtype)
        at = self.tokens[self.made]
        mask[:, at] = logits[:, at]
        return mask


@dataclass(frozen=True)
class Spell:
    """The guide of ``Spelling``; remembers with what it was started."""

    tokens: Sequence[int]
    closes_at: int | None = None
    fails_at: int | None = None

    def start(self, prompt_tokens: int, max_tokens: int) -> Spelling:
        assert max_tokens > 0
        return Spelling(self.tokens, prompt_tokens, self.closes_at, self.fails_at)


class Unstartable:
    def start(self, prompt_tokens: int, max_tokens: int) -> Spelling:
        raise RuntimeError("no memory")


@pytest.fixture
def words(bench: Bench) -> list[int]:
    return bench.tokenizer.encode("a fuse, then a relay", add_special_tokens=False)


def test_a_guide_that_is_done_ends_the_answer(bench: Bench, words: list[int]) -> None:
    row = bench.submit(guide=Spell(words), max_tokens=40)
    bench.run()
    assert bench.text(row) == "a fuse, then a relay"
    end = bench.finished(row)
    assert (end.reason, end.stop, end.closed) == ("stop", None, False)
    assert end.usage.completion_tokens == len(words)


def test_one_that_is_done_with_the_very_last_token_stops_too(
    bench: Bench, words: list[int]
) -> None:
    row = bench.submit(guide=Spell(words), max_tokens=len(words))
    bench.run()
    assert bench.finished(row).reason == "stop"
    assert bench.text(row) == "a fuse, then a relay"


def test_one_that_is_not_done_ends_by_its_length(bench: Bench, words: list[int]) -> None:
    row = bench.submit(guide=Spell(words, closes_at=0), max_tokens=len(words) - 1)
    bench.run()
    end = bench.finished(row)
    assert (end.reason, end.closed) == ("length", False)


def test_an_answer_that_was_brought_to_its_end_says_so(bench: Bench, words: list[int]) -> None:
    row = bench.submit(guide=Spell(words, closes_at=2), max_tokens=40)
    bench.run()
    end = bench.finished(row)
    assert (end.reason, end.closed) == ("stop", True)


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_an_end_token_that_the_guide_allows_ends_it(
    bench: Bench, words: list[int], ignore_eos: bool
) -> None:
    eos = min(bench.tokenizer.eos_token_ids)
    guide = Spell([*words, eos], closes_at=len(words))
    row = bench.submit(guide=guide, max_tokens=40, ignore_eos=ignore_eos)
    bench.run()
    end = bench.finished(row)
    assert bench.text(row) == "a fuse, then a relay"
    assert (end.reason, end.stop, end.closed) == ("stop", None, True)


def test_a_stop_string_within_a_guided_answer_is_not_its_end(
    bench: Bench, words: list[int]
) -> None:
    row = bench.submit(guide=Spell(words, closes_at=0), max_tokens=40, stop=(", then",))
    bench.run()
    end = bench.finished(row)
    assert bench.text(row) == "a fuse"
    assert (end.stop, end.closed) == (", then", False)


def test_the_guide_has_the_last_word(bench: Bench, words: list[int]) -> None:
    other = next(token for token in range(100, 200) if token not in words)
    biased = SamplingParams(temperature=0, logit_bias=((other, 90.0),), repetition_penalty=1.4)
    row = bench.submit(guide=Spell(words), max_tokens=40, sampling=biased, logprobs=1)
    bench.run()
    assert bench.text(row) == "a fuse, then a relay"
    assert [report.logprob for report in bench.reports(row)] == [0.0] * len(words)


def test_rows_beside_a_guided_one_are_as_they_were(bench: Bench, words: list[int]) -> None:
    alone = bench.submit("What is a via?", "kicad", max_tokens=14)
    bench.run()
    guided = bench.submit("What is a diode?", "power", guide=Spell(words), max_tokens=40)
    beside = bench.submit("What is a via?", "kicad", max_tokens=14)
    bench.run()
    assert bench.text(guided) == "a fuse, then a relay"
    assert bench.text(beside) == bench.text(alone)


@pytest.mark.parametrize("fails_at", [0, 1, 3])
def test_a_guide_that_raises_ends_its_own_row_only(
    bench: Bench, words: list[int], fails_at: int, caplog: pytest.LogCaptureFixture
) -> None:
    alone = bench.submit("What is a via?", "kicad", max_tokens=14)
    bench.run()
    broken = bench.submit(guide=Spell(words, fails_at=fails_at), max_tokens=40)
    beside = bench.submit("What is a via?", "kicad", max_tokens=14)
    with caplog.at_level(logging.ERROR):
        bench.run()
    failed = bench.end(broken)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, EngineFailed)
    assert "somebody" not in caplog.text + failed.error.message
    assert bench.watch.ended[-2:] == [(broken, "error"), (beside, "length")]
    assert bench.text(beside) == bench.text(alone)


@pytest.mark.parametrize("max_tokens", [1, 5])
def test_a_guide_that_cannot_start_fails_its_row(bench: Bench, max_tokens: int) -> None:
    row = bench.submit(guide=Unstartable(), max_tokens=max_tokens)
    bench.run()
    assert isinstance(bench.end(row), Failed)
    assert bench.text(row) == ""


def test_a_guided_answer_is_kept_as_a_prefix(
    new_bench: Callable[[], Bench], words: list[int]
) -> None:
    bench = new_bench()
    prompt = bench.prompt("What is a varistor?")
    bench.submit(prompt=prompt, guide=Spell(words), max_tokens=40)
    bench.run()
    longer = bench.submit(prompt=[*prompt, *words, 100], max_tokens=2)
    bench.run()
    assert bench.finished(longer).usage.cached_tokens == len(prompt) + len(words)
