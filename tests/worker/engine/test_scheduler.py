"""The scheduler step by step, on the embedded apertus base."""

from collections.abc import Callable
from typing import NoReturn

import pytest

from tests.worker.conftest import Bench
from wire.errors import EngineFailed
from worker.engine.request import Failed, Finished, SamplingParams
from worker.engine.scheduler import PREFILL_STEP_TOKENS


def test_usage_counts_tokens(bench: Bench) -> None:
    row = bench.submit("how long is this?", max_tokens=5)
    bench.run()
    end = bench.end(row)
    assert isinstance(end, Finished)
    assert end.reason == "length"
    assert end.usage.prompt_tokens == len(bench.prompt("how long is this?"))
    assert end.usage.completion_tokens == 5


def test_an_end_token_stops_and_makes_no_text(bench: Bench) -> None:
    row = bench.submit("What is a decoupling capacitor for?", max_tokens=400, ignore_eos=False)
    bench.run()
    end = bench.end(row)
    assert isinstance(end, Finished)
    assert end.reason == "stop"
    assert "<|" not in bench.text(row)


def test_a_stop_string_cuts_the_text_and_frees_the_row(bench: Bench) -> None:
    whole = bench.submit("Which resistor?", max_tokens=20)
    bench.run()
    text = bench.text(whole)
    assert len(text) > 6
    stop = text[3:6]
    row = bench.submit("Which resistor?", max_tokens=20, stop=(stop,))
    bench.run()
    end = bench.end(row)
    assert isinstance(end, Finished)
    assert end.reason == "stop"
    assert bench.text(row) == text[: text.find(stop)]
    assert end.usage.completion_tokens < 20


def test_the_end_says_which_stop_string_or_token_it_was(bench: Bench) -> None:
    whole = bench.submit("Which resistor?", max_tokens=20, logprobs=0)
    bench.run()
    assert bench.finished(whole).stop is None
    stop = bench.text(whole)[3:6]
    by_text = bench.submit("Which resistor?", max_tokens=20, stop=("\x00", stop))
    token = bench.reports(whole)[4].token
    by_token = bench.submit("Which resistor?", max_tokens=20, stop_token_ids=(token,))
    bench.run()
    assert bench.finished(by_text).stop == stop
    end = bench.finished(by_token)
    assert (end.reason, end.stop) == ("stop", token)
    assert token not in [report.token for report in bench.reports(by_token)]


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_an_end_token_of_the_model_is_told_only_where_it_was_asked_for(
    bench: Bench, ignore_eos: bool
) -> None:
    eos = min(bench.tokenizer.eos_token_ids)
    forced = SamplingParams(temperature=0, logit_bias=((eos, 100.0),))
    row = bench.submit(sampling=forced, stop_token_ids=(eos,), ignore_eos=ignore_eos, max_tokens=5)
    bench.run()
    end = bench.finished(row)
    assert (end.reason, end.stop) == ("stop", eos if ignore_eos else None)


def test_a_stop_string_that_waited_for_an_earlier_one_ends_the_row_at_its_length(
    bench: Bench,
) -> None:
    whole = bench.submit("Which resistor?", max_tokens=6)
    bench.run()
    text = bench.text(whole)
    # the last character is whole, but the longer one around it might still come up
    stops = (text[-1], text[-2:] + "\x00")
    assert text.count(text[-1]) == 1 or text[-1] in text[:-2]
    row = bench.submit("Which resistor?", max_tokens=6, stop=stops)
    bench.run()
    end = bench.finished(row)
    assert (end.reason, end.stop) == ("stop", text[-1])
    assert bench.text(row) == text[: text.find(text[-1])]


def test_special_tokens_make_text_where_they_are_to_be_seen(bench: Bench) -> None:
    """mlx-lm's detokenisers show them; what hides them is ours."""
    tokenizer = bench.tokenizer
    mark = next(t for t in tokenizer.all_special_ids if t not in tokenizer.eos_token_ids)
    forced = SamplingParams(temperature=0, logit_bias=((mark, 100.0),))
    shown = bench.submit(sampling=forced, max_tokens=2, visible=frozenset([mark]), logprobs=0)
    hidden = bench.submit(sampling=forced, max_tokens=2, logprobs=0)
    bench.run()
    assert bench.text(shown) == 2 * tokenizer.convert_ids_to_tokens(mark)
    assert [report.token for report in bench.reports(shown)] == [mark, mark]
    assert (bench.text(hidden), bench.reports(hidden)) == ("", [])


def test_rows_join_and_leave_a_running_batch(bench: Bench) -> None:
    alone = {}
    for adapter in (None, *bench.adapters[:3]):
        row = bench.submit("What is a ground plane?", adapter, max_tokens=10)
        bench.run()
        alone[adapter] = bench.text(row)
    rows = {}
    for adapter in (None, *bench.adapters[:3]):
        rows[adapter] = bench.submit("What is a ground plane?", adapter, max_tokens=10)
        bench.step()
        bench.step()
    bench.run()
    assert {adapter: bench.text(row) for adapter, row in rows.items()} == alone
    assert max(distinct for _, distinct in bench.watch.steps) > 1


def test_a_seed_gives_the_same_text_whoever_shares_the_batch(bench: Bench) -> None:
    seeded = SamplingParams(temperature=1.0, top_p=0.95, top_k=50, min_p=0.01, seed=7)
    first = bench.submit("Say something", sampling=seeded, max_tokens=16)
    bench.run()
    others = [
        bench.submit(f"other {n}", sampling=SamplingParams(temperature=1.2), max_tokens=9 + n)
        for n in range(3)
    ]
    second = bench.submit("Say something", sampling=seeded, max_tokens=16)
    other_seed = bench.submit(
        "Say something", sampling=SamplingParams(temperature=1.0, seed=8), max_tokens=16
    )
    bench.run()
    assert bench.text(first) == bench.text(second)
    assert bench.text(other_seed) != bench.text(first)
    assert all(isinstance(bench.end(row), Finished) for row in others)


def test_a_repeated_prompt_is_served_from_its_prefix(bench: Bench) -> None:
    text = "A question that nobody else asks here, about ferrite beads?"
    first = bench.submit(text, "emc", max_tokens=8)
    bench.run()
    again = bench.submit(text, "emc", max_tokens=8)
    other = bench.submit(text, "dsp", max_tokens=8)
    bench.run()
    ends = [bench.end(row) for row in (first, again, other)]
    cached = [end.usage.cached_tokens for end in ends if isinstance(end, Finished)]
    prompt = len(bench.prompt(text))
    assert cached[1] == prompt - 1
    assert cached[2] < prompt - 1
    assert bench.text(first) == bench.text(again)


class TestCancel:
    """A request that its client left is out of the batch before the next step."""

    def test_waiting(self, bench: Bench) -> None:
        row = bench.submit()
        bench.scheduler.cancel(row)
        assert not bench.scheduler.busy
        assert bench.watch.cancelled[-1] == (row, "waiting")

    def test_in_prefill(self, bench: Bench) -> None:
        prompt = bench.prompt("x ") * 300
        assert PREFILL_STEP_TOKENS < len(prompt) < 2000
        row = bench.submit(prompt=prompt)
        bench.step()
        bench.scheduler.cancel(row)
        assert not bench.scheduler.busy
        assert bench.watch.cancelled[-1] == (row, "prefill")
        bench.step()
        assert bench.events[row] == []

    def test_in_decode_leaves_the_others_as_they_were(self, bench: Bench) -> None:
        alone = bench.submit("What is a via?", "kicad", max_tokens=14)
        bench.run()
        gone = bench.submit("What is a diode?", "power", max_tokens=200)
        kept = bench.submit("What is a via?", "kicad", max_tokens=14)
        while not bench.events[gone]:
            bench.step()
        bench.scheduler.cancel(gone)
        told = len(bench.events[gone])
        bench.run()
        assert bench.watch.cancelled[-1] == (gone, "decode")
        assert len(bench.events[gone]) == told
        assert bench.text(kept) == bench.text(alone)

    def test_unknown_or_ended_is_no_error(self, bench: Bench) -> None:
        bench.scheduler.cancel(10**9)


def test_death_ends_every_request_once(new_bench: Callable[[], Bench]) -> None:
    bench = new_bench()
    running = bench.submit(max_tokens=100)
    bench.step()
    waiting = bench.submit(max_tokens=100)
    for row, events in bench.scheduler.fail_all(EngineFailed("gone")):
        bench.events[row.id] += events
    assert isinstance(bench.end(running), Failed)
    assert isinstance(bench.end(waiting), Failed)
    assert not bench.scheduler.busy


class TestAStepThatFails:
    """Whatever was between two of its parts is told of its end, and once."""

    def raising(self, *_: object) -> NoReturn:
        raise RuntimeError("out of memory")

    def fail(self, bench: Bench) -> None:
        with pytest.raises(RuntimeError, match="out of memory"):
            bench.step()
        for row, events in bench.scheduler.fail_all(EngineFailed("gone")):
            bench.events[row.id] += events

    def test_as_a_row_begins(
        self, new_bench: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench = new_bench()
        running = bench.submit(max_tokens=100)
        bench.step()
        beginning = [bench.submit(max_tokens=100), bench.submit(prompt_logprobs=1, max_tokens=9)]
        monkeypatch.setattr(bench.scheduler._prefixes, "fetch", self.raising)
        self.fail(bench)
        assert all(isinstance(bench.end(row), Failed) for row in (running, *beginning))

    def test_as_a_scored_row_joins(
        self, new_bench: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench = new_bench()
        row = bench.submit(prompt_logprobs=1, max_tokens=9)
        monkeypatch.setattr(bench.scheduler, "_insert", self.raising)
        self.fail(bench)
        assert isinstance(bench.end(row), Failed)

    def test_as_a_row_leaves(
        self, new_bench: Callable[[], Bench], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench = new_bench()
        rows = [bench.submit(max_tokens=tokens) for tokens in (3, 3, 3, 9)]
        while not all(bench.rows[row].generated_tokens == 2 for row in rows):
            bench.step()
        store, calls = bench.scheduler._prefixes.store, iter(range(9))
        monkeypatch.setattr(
            bench.scheduler._prefixes,
            "store",
            lambda *how: self.raising() if next(calls) == 1 else store(*how),
        )
        self.fail(bench)
        ends = [type(bench.end(row)) for row in rows]
        assert ends == [Finished, Failed, Failed, Failed]


@pytest.mark.parametrize("top_k", [0, 1, 10**6])
def test_any_top_k_is_taken(bench: Bench, top_k: int) -> None:
    row = bench.submit(sampling=SamplingParams(temperature=0.8, top_k=top_k), max_tokens=3)
    bench.run()
    assert isinstance(bench.end(row), Finished)
