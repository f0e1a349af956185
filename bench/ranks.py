"""What mixed ranks cost: adapters of ranks 8, 16 and 64 in one batch, beside other batches.

    python -m bench.ranks [--model m24|embedded] [--rows 16] [--rounds 20]

One model holds random adapters of each rank. A round takes each batch once, in turn, for a
decode step and for a prefill of 64 tokens; figures are medians of ratios within a round to the
bare base's. ``padded`` is the mixed batch with every adapter padded to rank 64.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib import import_module

from bench.models import build_model, cache_dir
from worker.blas import prefer_openblas

RANKS = (8, 16, 64)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--model", default="m24", choices=["m24", "embedded"])
    options.add_argument("--rows", type=int, default=16)
    options.add_argument("--rounds", type=int, default=20)
    given = options.parse_args()
    prefer_openblas(cache_dir())
    # MLX binds its BLAS when first imported: not before prefer_openblas
    run = import_module("bench.ranks_run")
    batches = run.Batches(build_model(given.model, cache_dir()), given.rows)
    for what, calls in (("decode", batches.decode()), ("prefill", batches.prefill())):
        print_ratios(what, measure(calls, given.rounds))


def measure(calls: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds by call, one a round; the first two rounds are thrown away."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(rounds + 2):
        turn = number % len(names)
        for name in [*names[turn:], *names[:turn]]:
            begun = time.perf_counter()
            calls[name]()
            times[name].append(time.perf_counter() - begun)
    return {name: found[2:] for name, found in times.items()}


def print_ratios(what: str, times: dict[str, list[float]]) -> None:
    print(f"\n| {what} | time / base | time / padded |\n|---|---|---|")
    for name, found in times.items():
        ratios = [
            statistics.median(a / b for a, b in zip(found, times[to], strict=True))
            for to in ("base", "padded")
        ]
        print(f"| {name} | {ratios[0]:.2f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
