"""Processors against the plain formulas, and in a batch: each row has its own or none."""

from collections.abc import Sequence
from dataclasses import replace

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.sample_utils import make_repetition_penalty

from tests.parity.rows import Asked, run
from tests.worker.conftest import Bench
from worker.engine.processors import row_processors
from worker.engine.request import Finished, SamplingParams

GREEDY = SamplingParams(temperature=0)
VOCABULARY = 50
TOKENS = 40
PROMPT = [3, 7, 7, 11]
GENERATED = [7, 20, 20, 20, 31]
LOGITS = np.random.default_rng(5).normal(0, 4, VOCABULARY).astype(np.float32)


def processed(
    params: SamplingParams,
    generated: Sequence[int] = GENERATED,
    logits: np.ndarray = LOGITS,
    dtype: mx.Dtype = mx.float32,
) -> np.ndarray:
    tokens = mx.array([*PROMPT, *generated], mx.int32)
    before = mx.array(logits[None]).astype(dtype)
    after = before
    for process in row_processors(params, len(PROMPT)):
        after = process(tokens, after)
    assert after.dtype == dtype
    assert after.shape == before.shape
    assert mx.array_equal(before, mx.array(logits[None]).astype(dtype)), "the input is kept"
    return np.array(after.astype(mx.float32))[0]


def occurrence(frequency: float, presence: float) -> np.ndarray:
    """OpenAI's formula: mu[j] - c[j] * frequency - (c[j] > 0) * presence."""
    counts = np.bincount(GENERATED, minlength=VOCABULARY)
    return LOGITS - counts * frequency - (counts > 0) * presence


def repetition(penalty: float) -> np.ndarray:
    """vLLM's: over prompt and answer, once however often a token came."""
    expected = LOGITS.copy()
    for token in {*PROMPT, *GENERATED}:
        value = LOGITS[token]
        expected[token] = value / penalty if value > 0 else value * penalty
    return expected


def test_nothing_asked_is_no_processor() -> None:
    assert row_processors(SamplingParams(temperature=0.3, top_p=0.5, seed=1), 4) == []


@pytest.mark.parametrize(
    ("frequency", "presence"), [(0.5, 0), (0, 0.5), (2, -2), (-1.5, 0.25), (-2, -2)]
)
def test_frequency_and_presence(frequency: float, presence: float) -> None:
    params = SamplingParams(frequency_penalty=frequency, presence_penalty=presence)
    assert np.allclose(processed(params), occurrence(frequency, presence), atol=1e-6)


def test_the_prompt_is_not_generated() -> None:
    params = SamplingParams(frequency_penalty=2, presence_penalty=2)
    assert np.array_equal(processed(params, generated=[]), LOGITS)


@pytest.mark.parametrize("penalty", [0.5, 1.1, 2.0])
def test_repetition(penalty: float) -> None:
    found = processed(SamplingParams(repetition_penalty=penalty))
    assert np.allclose(found, repetition(penalty), atol=1e-6)
    theirs = make_repetition_penalty(penalty, context_size=100)
    tokens = mx.array([*PROMPT, *GENERATED], mx.int32)
    assert np.allclose(found, np.array(theirs(tokens, mx.array(LOGITS[None])))[0], atol=1e-6)


def test_bias_is_added() -> None:
    expected = LOGITS.copy()
    expected[[4, 9]] += [1.5, -99]
    found = processed(SamplingParams(logit_bias=((4, 1.5), (9, -99.0))))
    assert np.allclose(found, expected, atol=1e-6)


def test_a_ban_holds_however_far_the_token_leads() -> None:
    logits = LOGITS.copy()
    logits[9] = 5000
    found = processed(SamplingParams(logit_bias=((9, -100.0),)), logits=logits)
    assert found[9] == np.finfo(np.float32).min
    assert np.array_equal(np.delete(found, 9), np.delete(logits, 9))


def test_forced_tokens_leave_no_other_choice() -> None:
    logits = LOGITS.copy()
    logits[9] = 5000
    found = processed(SamplingParams(logit_bias=((4, 100.0), (5, 100.0), (6, 99.0))), logits=logits)
    assert np.allclose(found[[4, 5]], logits[[4, 5]] + 100)
    assert set(np.delete(found, [4, 5])) == {np.finfo(np.float32).min}


def test_no_penalty_undoes_a_ban() -> None:
    params = SamplingParams(
        repetition_penalty=0.01, frequency_penalty=-2, logit_bias=((20, -100.0),)
    )
    assert processed(params)[20] == np.finfo(np.float32).min


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_all_tokens_banned_is_no_nan(dtype: mx.Dtype) -> None:
    everything = tuple((token, -100.0) for token in range(VOCABULARY))
    found = mx.array(processed(SamplingParams(logit_bias=everything), dtype=dtype)).astype(dtype)
    assert mx.isfinite(mx.logsumexp(found)).item()


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
def test_many_occurrences_count_in_half_precision(dtype: mx.Dtype) -> None:
    """bfloat16 itself counts to 256 and no further."""
    params = SamplingParams(frequency_penalty=0.1)
    found = processed(params, generated=[8] * 1000, logits=np.zeros_like(LOGITS), dtype=dtype)
    assert found[8] == pytest.approx(-100, rel=0.01)


ALL = replace(
    GREEDY,
    frequency_penalty=1.0,
    presence_penalty=0.5,
    repetition_penalty=1.3,
    logit_bias=((17, 3.0), (40, -100.0)),
)


def chain(bench: Bench, adapter: str | None, sampling: SamplingParams = GREEDY) -> list[int]:
    one = asked(bench, adapter, sampling)
    run(bench.scheduler, [one])
    return one.tokens


def asked(bench: Bench, adapter: str | None, sampling: SamplingParams, join: int = 0) -> Asked:
    return Asked(adapter, bench.prompt("What is a via?"), TOKENS, join, sampling=sampling)


def test_rows_of_a_mixed_batch_have_the_tokens_they_have_alone(bench: Bench) -> None:
    adapters = (None, *bench.adapters[:2])
    kinds = [
        GREEDY,
        ALL,
        replace(GREEDY, frequency_penalty=2.0),
        replace(GREEDY, repetition_penalty=1.5),
        replace(GREEDY, logit_bias=((17, 100.0),)),
    ]
    alone = {(a, k): chain(bench, a, k) for a in adapters for k in kinds}
    rows = [
        asked(bench, a, k, join)
        for join, (a, k) in enumerate((a, k) for k in kinds for a in adapters)
    ]
    seen = run(bench.scheduler, rows)
    assert seen.decoding_rows > 4
    for row in rows:
        assert row.tokens == alone[row.adapter, row.sampling]
    for adapter in adapters:
        assert len({tuple(alone[adapter, kind]) for kind in kinds}) > 3, "they do something"


def test_each_step_picks_what_the_formula_says(bench: Bench) -> None:
    """The batch's tokens, replayed: model logits, numpy penalties, argmax."""
    prompt = bench.prompt("What is a via?")
    tokens = chain(bench, None, ALL)
    model = bench.scheduler._model  # pyright: ignore[reportPrivateUsage]
    asked_of = model.logits(mx.array([[*prompt, *tokens]]), None)
    logits = np.array(asked_of.astype(mx.float32))[0]
    for step, token in enumerate(tokens):
        row = logits[len(prompt) + step - 1].copy()
        past = [*prompt, *tokens[:step]]
        seen = np.unique(past)
        row[seen] = np.where(row[seen] > 0, row[seen] / 1.3, row[seen] * 1.3)
        counts = np.bincount(tokens[:step], minlength=len(row))
        row -= counts * 1.0 + (counts > 0) * 0.5
        row[17] += 3.0
        row[40] = -np.inf
        assert row[token] >= row.max() - 1e-3, f"step {step}"


def test_a_cached_prefix_counts_as_prompt(bench: Bench) -> None:
    first = chain(bench, bench.adapters[0], ALL)
    again = asked(bench, bench.adapters[0], ALL)
    run(bench.scheduler, [again])
    assert again.usage.cached_tokens > 0
    assert again.tokens == first


def test_a_banned_token_never_comes(bench: Bench) -> None:
    usual = chain(bench, None)
    banned = tuple((token, -100.0) for token in set(usual))
    assert not set(usual) & set(chain(bench, None, replace(GREEDY, logit_bias=banned)))


@pytest.mark.parametrize("temperature", [0.0, 2.0])
@pytest.mark.parametrize("seed", [None, 3])
def test_a_forced_token_always_comes(bench: Bench, temperature: float, seed: int | None) -> None:
    params = SamplingParams(temperature, seed=seed, logit_bias=((17, 100.0),))
    assert chain(bench, None, params) == [17] * TOKENS


@pytest.mark.parametrize("field", ["frequency_penalty", "presence_penalty"])
def test_penalties_bring_more_distinct_tokens_rewards_fewer(bench: Bench, field: str) -> None:
    fewer, more = (len(set(chain(bench, None, replace(GREEDY, **{field: v})))) for v in (-2, 2))
    assert fewer < more


@pytest.mark.parametrize("penalty", [1e-320, 1e300])
@pytest.mark.parametrize("kind", [GREEDY, SamplingParams(0.7, 0.9, 20, 0.05, 3)])
def test_an_absurd_penalty_harms_its_own_row_only(
    bench: Bench, penalty: float, kind: SamplingParams
) -> None:
    """Beyond float32 the logits are infinite or NaN; the engine goes on."""
    alone = chain(bench, None)
    absurd = asked(bench, None, replace(kind, repetition_penalty=penalty))
    plain = asked(bench, None, GREEDY)
    run(bench.scheduler, [absurd, plain])
    assert plain.tokens == alone
    assert len(absurd.tokens) == TOKENS
    assert all(0 <= token < 2048 for token in absurd.tokens)


class TestStopTokenIds:
    """They end a row as an end token does."""

    def test_the_token_ends_it_and_makes_no_text(self, bench: Bench) -> None:
        usual = chain(bench, None)
        at = next(n for n, token in enumerate(usual) if n > 3 and token not in usual[:n])
        before = bench.submit("What is a via?", max_tokens=at)
        row = bench.submit("What is a via?", max_tokens=20, stop_token_ids=(usual[at],))
        plain = bench.submit("What is a via?", max_tokens=20)
        bench.run()
        end, whole = bench.end(row), bench.end(plain)
        assert isinstance(end, Finished)
        assert isinstance(whole, Finished)
        assert (end.reason, end.usage.completion_tokens) == ("stop", at + 1)
        assert bench.text(row) == bench.text(before)
        assert (whole.reason, whole.usage.completion_tokens) == ("length", 20)

    def test_end_tokens_still_end_it(self, bench: Bench) -> None:
        question = "What is a decoupling capacitor for?"
        rows = [
            bench.submit(question, max_tokens=400, ignore_eos=False, stop_token_ids=ids)
            for ids in ((), (2047,))
        ]
        on = bench.submit(question, max_tokens=400, ignore_eos=True)
        bench.run()
        ends = [bench.end(row) for row in (*rows, on)]
        assert [end.reason for end in ends if isinstance(end, Finished)] == [
            "stop",
            "stop",
            "length",
        ]
        assert bench.text(rows[0]) == bench.text(rows[1])
