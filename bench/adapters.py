"""``python -m bench.adapters``: many adapters on few slots, against as many adapters as slots."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from bench.machine import machine_facts
from bench.models import build_model, cache_dir, write_adapter
from bench.report import machine_lines
from worker.blas import prefer_openblas

RANKS = (8, 16, 64)
EPILOG = """\
The m24 base with random adapters of ranks 8, 16 and 64 in turn; each request draws one, all as
likely. Two loads: prefill (long prompts, one token) and decode (short prompts, many tokens). Each
number of adapters is a fleet of its own, loaded once; they take turns within a round. Figures are
medians over the rounds, of which the first is thrown away; ratios are of one round. 'in slot' and
'paged' are the requests whose adapter was in a slot when they came, and those whose was not; TTFT
has the wait for a row and for a slot in it. With more rows than slots, adapters that nobody shares
hold rows up: no batch mixes more than there are slots.

  python -m bench.adapters --json adapters.json
  python -m bench.adapters --quick                     does it run at all
  python -m bench.adapters --memory-bytes 400000000    few host copies: the disk tier
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the raw data."""
    options = _options(argv)
    blas = prefer_openblas(cache_dir())
    result: dict[str, Any] = {"machine": machine_facts(blas), "settings": str(vars(options))}
    print(machine_lines(result["machine"]), flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-adapters-") as scratch:
        result["samples"] = _measure(Path(scratch), options, blas)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1), "utf-8")
    for load, by_count in result["samples"].items():
        print(f"\n## {load}\n")
        print(_table(by_count, options.slots))
    return 0


def _measure(
    scratch: Path, options: argparse.Namespace, blas: str
) -> dict[str, dict[int, list[dict[str, Any]]]]:
    """By load and number of adapters, a sample a round; all take turns within a round."""
    # MLX binds its BLAS when first imported: not before prefer_openblas
    paging = import_module("bench.paging")
    benches: dict[int, Any] = {}
    for count in options.adapters:
        benches[count] = paging.PagingBench(_fleet(scratch, count, options), "m24", blas)
        sys.stderr.write(f"{count} adapters loaded\n")
    loads = {
        "prefill": paging.Load(options.rows, options.requests, 128, 1),
        "decode": paging.Load(options.rows, options.requests, 16, 32),
    }
    kept = {load: {count: list[dict[str, Any]]() for count in benches} for load in loads}
    for number in range(options.rounds + 1):
        for count, bench in benches.items():
            for name, load in loads.items():
                sample = bench.run(load)
                told = f"round {number}, {count} adapters, {name}: {sample.requests_per_s:.1f}/s"
                sys.stderr.write(f"{told}\n")
                if number:  # the first round warms up
                    kept[name][count].append(asdict(sample))
    for bench in benches.values():
        bench.close()
    return kept


def _fleet(scratch: Path, count: int, options: argparse.Namespace) -> Path:
    model = build_model("m24", cache_dir() / "bench")
    base: dict[str, Any] = {"model": str(model.model), "slots": options.slots}
    base["max_rows"] = options.rows
    if options.memory_bytes:
        base["memory_bytes"] = options.memory_bytes
    adapters: dict[str, Any] = {}
    for number in range(count):
        folder = scratch / f"a{number}"
        if not folder.exists():
            write_adapter(folder, number, RANKS[number % len(RANKS)])
        adapters[f"a{number}"] = {"base": "m24", "source": str(folder)}
    content = {"version": 1, "prefix": "bench", "bases": {"m24": base}, "adapters": adapters}
    file = scratch / f"{count}.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return file


def _table(by_count: dict[int, list[dict[str, Any]]], slots: int) -> str:
    """A line for each number of adapters; the ratio is to as many adapters as slots."""
    rates = {n: [s["requests"] / s["took_s"] for s in got] for n, got in by_count.items()}
    whole = rates.get(slots)
    lines = [
        "| adapters | requests/s | of full slots | slot loads a request "
        "| TTFT in slot p50 / p99 | TTFT paged p50 / p99 |",
        "|---|---|---|---|---|---|",
    ]
    for count, samples in by_count.items():
        ratio = "-" if whole is None else _ratio(rates[count], whole)
        loads = sum(s["slot_loads"] for s in samples) / sum(s["requests"] for s in samples)
        tiers = [_quantiles(samples, tier) for tier in ("slot", "paged")]
        cells = [str(count), f"{median(rates[count]):.1f}", ratio, f"{loads:.2f}", *tiers]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(rates: Sequence[float], whole: Sequence[float]) -> str:
    found = [one / other for one, other in zip(rates, whole, strict=True)]
    return f"{median(found):.2f} ({min(found):.2f}-{max(found):.2f})"


def _quantiles(samples: Sequence[dict[str, Any]], tier: str) -> str:
    found = sorted(s for sample in samples for s in sample["first_token_s"][tier])
    if not found:
        return "-"
    p50, p99 = (found[min(len(found) - 1, int(q * len(found)))] for q in (0.5, 0.99))
    return f"{p50 * 1e3:,.0f} / {p99 * 1e3:,.0f} ms"


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.adapters",
        description=__doc__.partition(": ")[2] if __doc__ else None,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    counts = [1, 4, 16, 64, 128, 500]
    parser.add_argument("--adapters", nargs="+", type=int, default=counts, metavar="N")
    parser.add_argument("--slots", type=int, default=16, help="(%(default)s)")
    parser.add_argument("--rows", type=int, default=16, help="requests at a time (%(default)s)")
    parser.add_argument("--requests", type=int, default=96, help="a round (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (%(default)s)")
    parser.add_argument("--memory-bytes", type=int, help="the base's budget; default none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data here")
    parser.add_argument("--quick", action="store_true", help="a smoke run; no figures")
    options = parser.parse_args(argv)
    if options.quick:
        options.adapters, options.slots, options.rounds = [2, 4, 8], 4, 1
        options.rows, options.requests = 8, 24
    return options


if __name__ == "__main__":
    sys.exit(main())
