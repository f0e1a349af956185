"""``python -m bench.engine``: what mixing adapters in one batch costs, as ratios in one run."""

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from bench import overhttp, report
from bench.clients import Load
from bench.machine import machine_facts
from bench.models import BenchModel, build_model, cache_dir
from bench.rounds import Round, run_rounds
from worker.blas import prefer_openblas

MODELS = ("embedded", "m24")
PEER_PAIRS = (
    (overhttp.MIXED, overhttp.PEER_BASE),
    (overhttp.MIXED, overhttp.PEER_ROTATING),
    (overhttp.PEER_ROTATING, overhttp.PEER_BASE),
    (overhttp.GATEWAY_IDLE, overhttp.IDLE),
    (overhttp.GATEWAY_MIXED, overhttp.MIXED),
    (overhttp.GATEWAY_MIXED, overhttp.GATEWAY_IDLE),
)
EPILOG = """\
Variants: 'base' has no LoRA layers at all; 'LoRA idle' has ten adapters resident and rows of
the bare base only; 'one adapter' has all rows on one; mixed has ten adapters and the bare base
in turn (over HTTP: the ten adapters). They take turns within each round, after one round that
is thrown away; a ratio is of two figures of one round, and the table has the median over the
rounds (lowest-highest).

  python -m bench.engine --json engine.json                        in process, both models
  python -m bench.engine --http --gateway --json http.json         over HTTP, and the gateway
  python -m bench.engine --http --peer mlx_lm --json peer.json     beside mlx_lm.server
  python -m bench.engine --quick                                   does it run at all
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the tables, write the raw data."""
    options = _options(argv)
    blas = prefer_openblas(cache_dir())
    result: dict[str, Any] = {
        "machine": machine_facts(blas),
        "settings": {name: str(value) for name, value in vars(options).items()},
    }
    print(report.machine_lines(result["machine"]), flush=True)
    for name in options.models:
        model = build_model(name, cache_dir() / "bench")
        measure = _over_http if options.http else _in_process
        result[name] = measure(model, options, blas)
        if options.json is not None:
            options.json.write_text(json.dumps(result, indent=1), "utf-8")
    return 0


def _in_process(model: BenchModel, options: argparse.Namespace, blas: str) -> dict[str, Any]:
    # MLX binds its BLAS when first imported: not before prefer_openblas
    bench = import_module("bench.inprocess").Bench(model.bare, model.full, model.base, blas)
    by_rows: dict[int, Any] = {}
    try:
        for rows in options.rows:
            kept: list[Round] = []
            for number in range(options.rounds + 1):
                _tell(f"{rows} rows: round {number}/{options.rounds}")
                kept.append(bench.round(number, rows, options.tokens, options.prompt_tokens))
            by_rows[rows] = kept[1:]  # the first round warms up
    finally:
        bench.close()
    print(f"\n## {model.name}, in process, decode only\n")
    print(report.inprocess_table(by_rows, "decode_tokens_per_s"))
    print(f"\n## {model.name}, in process, prefill included\n")
    print(report.inprocess_table(by_rows, "whole_tokens_per_s"), flush=True)
    return {"in_process": by_rows}


def _over_http(model: BenchModel, options: argparse.Namespace, _: str) -> dict[str, Any]:
    load = Load(options.streams, options.requests, options.tokens)
    logs = cache_dir() / "bench" / "logs" / model.name
    peers = options.peer if model.name == "m24" else []
    with overhttp.servers(model, logs, through_gateway=options.gateway, peers=peers) as targets:
        rounds = run_rounds(overhttp.measures(targets, load), options.rounds, _tell)
    print(f"\n## {model.name}, over HTTP, {load.streams} streams\n")
    print(report.http_table(rounds))
    print(report.peer_lines(rounds, PEER_PAIRS), flush=True)
    return {"http": rounds}


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}\r")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.engine",
        description=__doc__.partition(": ")[2] if __doc__ else None,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, help="default: all; HTTP: m24")
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 4, 16, 32], metavar="N")
    parser.add_argument("--rounds", type=int, help="rounds that count (7; over HTTP 5)")
    parser.add_argument("--tokens", type=int, default=48, help="timed tokens a row (%(default)s)")
    parser.add_argument("--prompt-tokens", type=int, default=32, help="in process (%(default)s)")
    parser.add_argument("--http", action="store_true", help="measure servers over HTTP")
    parser.add_argument("--gateway", action="store_true", help="also through the gateway")
    parser.add_argument(
        "--peer", action="append", choices=["mlx_lm"], default=[], help="also mlx_lm.server (m24)"
    )
    parser.add_argument("--streams", type=int, default=16, help="clients over HTTP (%(default)s)")
    parser.add_argument("--requests", type=int, default=4, help="requests a client (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw data here")
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds; no figures")
    options = parser.parse_args(argv)
    if (options.gateway or options.peer) and not options.http:
        parser.error("--gateway and --peer go with --http")
    return _completed(options)


def _completed(options: argparse.Namespace) -> argparse.Namespace:
    """Defaults that depend on other options, and what --quick means."""
    options.models = options.models or (["m24"] if options.http else list(MODELS))
    options.rounds = options.rounds or (5 if options.http else 7)
    if options.quick:
        options.rounds, options.tokens, options.requests = 1, 4, 1
        options.rows = [1, 4]
        options.streams = 4
    return options


if __name__ == "__main__":
    sys.exit(main())
