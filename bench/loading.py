"""``python -m bench.loading``: what loading and unloading adapters costs the rows that decode."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from bench.machine import machine_facts
from bench.models import build_model, cache_dir, write_adapter
from bench.report import machine_lines
from worker.blas import prefer_openblas

COMING = 4
EPILOG = """\
The m24 base with its ten adapters on fourteen slots; all rows decode all the time, over ten
adapters and the bare base, and join and end at times of their own. In every other window an
adapter after another is loaded (read, put, proved) and unloaded, without a pause. The first pair of
windows is thrown away; ratios are of two windows that followed each other.

  python -m bench.loading --json loading.json
  python -m bench.loading --loads 1000                 until so many were loaded
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the raw data."""
    options = _options(argv)
    blas = prefer_openblas(cache_dir())
    result: dict[str, Any] = {"machine": machine_facts(blas), "settings": str(vars(options))}
    print(machine_lines(result["machine"]), flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-loading-") as scratch:
        result["pairs"] = asyncio.run(_measure(Path(scratch), options))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1), "utf-8")
    print(_table(result["pairs"]))
    return 0


async def _measure(scratch: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    # MLX binds its BLAS when first imported: not before prefer_openblas
    run = import_module("bench.loading_run")
    fleet, coming = _fleet(scratch, options)
    pairs: list[dict[str, Any]] = []
    loads = 0
    async with run.LoadingBench(fleet, options.rows, coming, options.tokens) as bench:
        for number in count():
            pair = {
                name: await bench.window(options.seconds, loading=name == "loading")
                for name in ("still", "loading")
            }
            loads += pair["loading"].loads
            found = {name: _figures(window) for name, window in pair.items()}
            sys.stderr.write(f"pair {number}: {found}\n")
            if number:  # the first one warms up
                pairs.append(found | {"raw": {n: asdict(w) for n, w in pair.items()}})
            if number >= options.pairs and loads >= options.loads:
                return pairs
    raise AssertionError


def _figures(window: Any) -> dict[str, float]:
    return {
        "p50_ms": window.quantile(0.5) * 1e3,
        "p99_ms": window.quantile(0.99) * 1e3,
        "steps": len(window.gaps_s),
        "loads": window.loads,
        "load_ms": median(window.load_s) * 1e3 if window.load_s else 0.0,
        "bytes": window.bytes,
    }


def _fleet(scratch: Path, options: argparse.Namespace) -> tuple[Path, list[Path]]:
    model = build_model("m24", cache_dir() / "bench")
    content = yaml.safe_load(model.full.read_text("utf-8"))
    (name,) = content["bases"]
    content["bases"][name] |= {"slots": 14, "max_rows": options.rows}
    content["lora_roots"] = [str(scratch)]
    for entry in content["adapters"].values():
        entry["source"] = str((model.full.parent / entry["source"]).resolve())
    content["bases"][name]["model"] = str(model.model)
    file = scratch / "fleet.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    coming = [scratch / f"coming{number}" for number in range(COMING)]
    for number, folder in enumerate(coming):
        write_adapter(folder, 100 + number)
    return file, coming


def _table(pairs: Sequence[dict[str, Any]]) -> str:
    def ratios(metric: str) -> str:
        found = [pair["loading"][metric] / pair["still"][metric] for pair in pairs]
        return f"{median(found):.2f} ({min(found):.2f}-{max(found):.2f})"

    def still(metric: str) -> str:
        return f"{median(pair['still'][metric] for pair in pairs):.1f} ms"

    held = [pair["loading"]["bytes"] for pair in pairs]
    loads = sum(int(pair["loading"]["loads"]) for pair in pairs)
    load_ms = median(pair["loading"]["load_ms"] for pair in pairs)
    lines = [
        "| gap between tokens | without loads | with / without |",
        "|---|---|---|",
        *(f"| {m[:3]} | {still(m)} | {ratios(m)} |" for m in ("p50_ms", "p99_ms")),
        "",
        f"{loads} loads, a load {load_ms:.0f} ms; MLX's memory at the end of the windows with "
        f"loads: {min(held) / 1e6:.1f} to {max(held) / 1e6:.1f} MB",
    ]
    return "\n".join(lines)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.loading",
        description=__doc__.partition(": ")[2] if __doc__ else None,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=16, help="(%(default)s)")
    parser.add_argument("--tokens", type=int, default=200, help="a row at most (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="a window (%(default)s)")
    parser.add_argument("--pairs", type=int, default=5, help="that count (%(default)s)")
    parser.add_argument("--loads", type=int, default=0, help="at least (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data here")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
