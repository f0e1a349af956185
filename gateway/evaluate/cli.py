"""``ailiance eval``: what the command does and says."""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fleet.evidence.rule import is_benchmark
from fleet.find import find_fleet
from fleet.load import load_fleet
from gateway.evaluate.errors import EvaluationError

EXIT_FAILED = 1

ABOUT = """\
Measures an adapter beside its base: the perplexity of the reference answers, and how many
greedy answers equal them. A line of FILE is {"prompt" or "messages": ..., "answer": ...}.
Without --url it starts a gateway of its own, and ends it.
"""


def add_to(commands: Any) -> None:
    """Adds ``eval`` to the subparsers."""
    parser = commands.add_parser(
        "eval", help="measure an adapter beside its base", description=ABOUT
    )
    parser.add_argument("file", type=Path, metavar="FILE.jsonl", help="the records")
    parser.add_argument("--adapter", required=True, metavar="NAME", help="which one to measure")
    parser.add_argument(
        "--base", metavar="NAME", help="its base, where several have an adapter so named"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the fleet file (./adapters.yaml)"
    )
    parser.add_argument(
        "--url", type=_url, metavar="URL", help="measure through this running gateway"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="put the results into the fleet file, under the adapter",
    )
    parser.add_argument(
        "--name", type=_benchmark, metavar="BENCHMARK", help="of the results (the file's name)"
    )
    parser.add_argument(
        "--prompt-key", metavar="KEY", help="what the records call the prompt (prompt, messages)"
    )
    parser.add_argument("--limit", type=_count, metavar="N", help="only the first N records")
    parser.add_argument(
        "--concurrency", type=_count, default=8, metavar="N", help="records at a time (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """The exit code. Raises FleetError with the mend."""
    try:
        return _run(options)
    except EvaluationError as fault:
        sys.stderr.write(f"ailiance: {fault}\n")
        return EXIT_FAILED


def _run(options: argparse.Namespace) -> int:
    # numpy and httpx are slow to import, and no other command needs these modules
    from gateway.evaluate.measure import measure  # noqa: PLC0415
    from gateway.evaluate.own_gateway import own_gateway  # noqa: PLC0415
    from gateway.evaluate.records import read_records  # noqa: PLC0415
    from gateway.evaluate.show import as_json, benchmark_name, results, table  # noqa: PLC0415
    from gateway.evaluate.write_back import check_writable, write_results  # noqa: PLC0415

    records = read_records(options.file, options.limit, options.prompt_key)
    config = find_fleet(options.config, Path.cwd())
    if options.write:
        # before the minutes that measuring takes
        check_writable(config, options.adapter)
    elif options.url is None:
        load_fleet(config)
    if options.url is None and sys.stderr.isatty():
        sys.stderr.write(f"starting a gateway over {config}\n")
    with contextlib.ExitStack() as stack:
        url = options.url or stack.enter_context(own_gateway(config.absolute()))
        asked = (options.adapter, options.base, records, options.concurrency)
        measured = asyncio.run(measure(url, *asked, _progress(len(records))))
    source = options.file.name
    if options.json:
        sys.stdout.write(json.dumps(as_json(measured, source), indent=1) + "\n")
    else:
        sys.stdout.write(table(measured, source))
    if options.write:
        name = options.name or benchmark_name(options.file.stem)
        found = results(measured, name, _source(options.file, config), date.today())
        write_results(config, measured.pair.name, found)
        names = ", ".join(each.benchmark for each in found)
        sys.stderr.write(f"{config}: adapters.{measured.pair.name}.evaluation: {names}\n")
    return 0


def _source(file: Path, config: Path) -> str:
    """The records' path from the fleet file, or their name where they are not below it."""
    try:
        return file.resolve().relative_to(config.resolve().parent).as_posix()
    except ValueError:
        return file.name


def _progress(count: int) -> Any:
    """Draws a bar on a terminal, and nothing elsewhere."""
    began_s = time.monotonic()

    def show(part: float) -> None:
        if sys.stderr.isatty():
            took_s = time.monotonic() - began_s
            bar, end = "#" * int(30 * part), "\n" if part == 1 else ""
            done = round(part * count)
            sys.stderr.write(f"\r[{bar:<30}] {done} of {count} records, {took_s:.0f} s{end}")
            sys.stderr.flush()

    return show


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"{count}: at least 1")
    return count


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"'{text}' is no address such as http://127.0.0.1:9300")
    return text.rstrip("/").removesuffix("/v1")


def _benchmark(text: str) -> str:
    if not is_benchmark(text):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no name of a benchmark; letters, digits, '_'"
        )
    return text
