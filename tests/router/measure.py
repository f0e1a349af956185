"""Prints the figures of docs/router.md: ``python tests/router/measure.py [WEIGHTS]``."""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import yaml

from router import DEFAULT_WEIGHTS, Router
from router.exemplars import read_folder

UNSEEN = Path(__file__).parent / "data" / "unseen.yaml"
TOKENS_PER_WORD = 1.4


def report_quality(router: Router) -> None:
    rows = yaml.safe_load(UNSEEN.read_text(encoding="utf-8"))["examples"]
    made = [router.classify([("user", row["text"])]) for row in rows]
    truth = np.array([row["domain"] for row in rows])
    found = np.array([decision.domain or "general" for decision in made])
    lang = np.array([row["lang"] for row in rows])
    inside = truth != "general"
    for name, chosen in (("all", lang != ""), ("en", lang == "en"), ("fr", lang == "fr")):
        accuracy = (found == truth)[chosen].mean()
        print(f"{name}: accuracy {accuracy:.3f} macro-F1 {f1(truth[chosen], found[chosen]):.3f}")
    print(f"out-of-domain recall {(found == truth)[~inside].mean():.3f}")
    wrong = (found != truth) & (found != "general") & inside
    print(f"in scope: wrong domain {wrong.sum() / inside.sum():.3f}", end=", ")
    print(f"abstained {(found == 'general')[inside].mean():.3f}")
    lead = np.array([d.scores["general"] / max(d.confidence, 1e-9) for d in made])
    cut = np.quantile(lead[inside], 0.95)
    print(f"out-of-domain recall at 95 % coverage {(lead[~inside] > cut).mean():.3f}")
    print(f"ECE {calibration_error(made, truth):.3f}", Counter(d.reason for d in made))


def f1(truth: np.ndarray, found: np.ndarray) -> float:
    labels = np.unique(truth)
    both = [
        (np.sum((truth == x) & (found == x)), np.sum(truth == x), np.sum(found == x))
        for x in labels
    ]
    return float(np.mean([2 * right / (a + b) for right, a, b in both]))


def calibration_error(made: list, truth: np.ndarray) -> float:
    top = np.array([max(d.scores.values()) for d in made])
    right = np.array([max(d.scores, key=d.scores.get) for d in made]) == truth
    bins = np.minimum((top * 10).astype(int), 9)
    gaps = [
        (bins == b).mean() * abs(top[bins == b].mean() - right[bins == b].mean())
        for b in range(10)
        if (bins == b).any()
    ]
    return float(sum(gaps))


def report_latency(router: Router, tokens: int, calls: int) -> None:
    data = Path(sys.modules["router"].__file__).parent / "data"
    words = [word for exemplar in read_folder(data) for word in exemplar.text.split(" ")]
    chance, wall, cpu = random.Random(1), [], []
    for _ in range(calls):
        text = " ".join(chance.choices(words, k=int(tokens / TOKENS_PER_WORD)))
        began, began_cpu = time.perf_counter(), time.thread_time()
        router.classify([("user", text)])
        wall.append(1000 * (time.perf_counter() - began))
        cpu.append(1000 * (time.thread_time() - began_cpu))
    wall_ms, cpu_ms = (
        "/".join(f"{np.quantile(times, q):.2f}" for q in (0.5, 0.99)) for times in (wall, cpu)
    )
    print(f"{tokens} tokens: p50/p99 wall {wall_ms} ms, cpu {cpu_ms} ms")


if __name__ == "__main__":
    loaded = Router.load(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_WEIGHTS)
    report_quality(loaded)
    for size, count in ((64, 2000), (2000, 500), (250_000, 100)):
        report_latency(loaded, size, count)
    print("load average", os.getloadavg())
