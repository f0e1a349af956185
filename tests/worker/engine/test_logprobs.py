"""Log-probabilities of generated tokens: the right ones, in order, only where asked for."""

import math

import mlx.core as mx
import numpy as np
import pytest

from tests.worker.conftest import Bench
from worker.engine.logprobs import LOWEST, report_tokens
from worker.engine.request import SamplingParams, TokenLogprob


def reference(logits: list[float]) -> list[float]:
    wide = np.array(logits, np.float64)
    return (wide - np.log(np.exp(wide).sum())).tolist()


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
def test_values_are_natural_logs_whatever_the_dtype(dtype: mx.Dtype) -> None:
    rows = [[1.0, 3.0, -2.0, 0.5], [20.0, 19.0, 21.0, -4.0]]
    found = report_tokens(mx.array(rows).astype(dtype), [0, 1], [4, 4])
    for row, token, report in zip(rows, [0, 1], found, strict=True):
        expected = reference(row)
        assert report.logprob == pytest.approx(expected[token], abs=1e-5)
        assert [t for t, _ in report.top] == sorted(range(4), key=lambda t: -expected[t])
        assert [v for _, v in report.top] == pytest.approx(sorted(expected, reverse=True), abs=1e-5)


def test_half_precision_normalised_before_is_normalised_again() -> None:
    """mlx-lm subtracts the norm in the dtype of the logits, where it is coarse."""
    logits = mx.array([[20.0, 19.5, 18.0, 3.0]]).astype(mx.bfloat16)
    coarse = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    (report,) = report_tokens(coarse, [0], [4])
    assert sum(math.exp(value) for _, value in report.top) == pytest.approx(1, abs=1e-5)
    assert report.logprob == pytest.approx(reference([20.0, 19.5, 18.0, 3.0])[0], abs=0.01)


def test_rows_get_as_many_as_each_asks_for() -> None:
    found = report_tokens(mx.zeros((3, 8)), [7, 2, 5], [0, 3, 100])
    assert [len(report.top) for report in found] == [0, 3, 8]
    assert [report.token for report in found] == [7, 2, 5]


def test_of_equals_the_lowest_ids_in_order() -> None:
    logits = mx.zeros((1, 500)).at[:, 400].add(5.0).at[:, 300].add(5.0)
    (report,) = report_tokens(logits, [123], [5])
    assert [token for token, _ in report.top] == [300, 400, 0, 1, 2]


def test_the_impossible_is_finite() -> None:
    logits = mx.array([[0.0, -math.inf, -20000.0, 0.0]])
    (report,) = report_tokens(logits, [1], [4])
    assert report.logprob == LOWEST
    assert report.top[2:] == ((1, LOWEST), (2, LOWEST))


def check(report: TokenLogprob, top: int) -> None:
    assert len(report.top) == top
    values = [value for _, value in report.top]
    assert values == sorted(values, reverse=True)
    assert report.logprob <= 1e-6
    assert dict(report.top).get(report.token, report.logprob) == report.logprob


def test_of_greedy_rows_the_best_is_the_token_itself(bench: Bench) -> None:
    asking = bench.submit("What is a fuse?", "emc", logprobs=3, max_tokens=6)
    alone = bench.submit("What is a fuse?", "emc", logprobs=0, max_tokens=6)
    quiet = bench.submit("What is a fuse?", "emc", max_tokens=6)
    bench.run()
    assert bench.text(asking) == bench.text(alone) == bench.text(quiet)
    reports = bench.reports(asking)
    assert len(reports) == 6
    for report in reports:
        check(report, 3)
        assert report.top[0] == (report.token, report.logprob)
    assert [(r.token, r.top) for r in bench.reports(alone)] == [(r.token, ()) for r in reports]
    assert bench.reports(quiet) == []
    text = bench.tokenizer.decode([report.token for report in reports])
    assert text == bench.text(asking)


def test_they_are_those_before_temperature_and_after_the_bias(bench: Bench) -> None:
    prompt = bench.prompt("What is a relay?")
    plain = bench.submit(prompt=prompt, logprobs=2, max_tokens=1)
    hot = bench.submit(
        prompt=prompt,
        logprobs=2,
        max_tokens=1,
        sampling=SamplingParams(temperature=9.0, top_p=0.5, seed=1),
    )
    bench.run()
    (first,), (other,) = bench.reports(plain), bench.reports(hot)
    assert [token for token, _ in other.top] == [token for token, _ in first.top]
    assert other.top[0][1] == pytest.approx(first.top[0][1], abs=1e-4)
    banned = first.token
    biased = bench.submit(
        prompt=prompt,
        logprobs=2,
        max_tokens=1,
        sampling=SamplingParams(temperature=0, logit_bias=((banned, -100.0),)),
    )
    bench.run()
    (without,) = bench.reports(biased)
    assert without.token == first.top[1][0]
    # the others share what the banned one had
    gain = -math.log1p(-math.exp(first.logprob))
    assert without.logprob == pytest.approx(first.top[1][1] + gain, abs=0.02)


def test_tokens_that_a_stop_string_cut_off_are_not_reported(bench: Bench) -> None:
    whole = bench.submit("Which resistor?", max_tokens=20, logprobs=0)
    bench.run()
    text, tokens = bench.text(whole), [r.token for r in bench.reports(whole)]
    stop = text[9:13]
    row = bench.submit("Which resistor?", max_tokens=20, stop=(stop,), logprobs=0)
    bench.run()
    kept = bench.text(row)
    assert kept == text[: text.find(stop)]
    reported = [r.token for r in bench.reports(row)]
    assert reported == tokens[: len(reported)]
    begins = [len(bench.tokenizer.decode(tokens[:i])) for i in range(len(tokens))]
    assert len(reported) == sum(at < len(kept) for at in begins)
