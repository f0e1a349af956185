"""``python -m worker.check``: the command line of ``ailiance check``.

Exit codes: 0 every adapter is fit to serve; 1 one is refused or loops; 78 the fleet file, or
what was asked of it, is wrong.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from fleet.errors import FleetError
from fleet.find import find_fleet
from fleet.load import load_fleet
from fleet.schema import Fleet
from worker.blas import default_cache, prefer_openblas

EXIT_FAILED = 1
EXIT_CONFIG = 78

ABOUT = """\
Reads each adapter as a worker would, and says what it is and what it does: format, rank,
layers, targets, size, digest (its beginning), effect (max |delta logit| against the bare
base), perplexity a token of the answers in its examples.jsonl without and with it, and
whether one of three greedy answers of 200 tokens ends in a loop.
"""
EPILOG = """\
ADAPTER is a name in the fleet file, or a folder (then --base, if there are several).
examples.jsonl lies beside the weights; a line is {"prompt": TEXT, "completion": TEXT}.
Result: ok; worse (than the bare base, on its own examples); loops; refused.
Exit code: 0 all ok or worse, 1 something loops or is refused, 78 configuration.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Check, print, and return the exit code."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = find_fleet(options.config, Path.cwd())
        fleet = load_fleet(config)
        wanted = _wanted(fleet, options.adapter, options.base, config)
    except FleetError as error:
        sys.stderr.write(f"ailiance: {error}\n")
        return EXIT_CONFIG
    prefer_openblas(default_cache())
    # MLX binds its BLAS when first imported: nothing above may import it
    run = import_module("worker.check.run")
    verdict = import_module("worker.check.verdict")
    progress, done = _progress()
    found: list[Any] = []
    for base, adapters in wanted.items():
        found += run.check_base(fleet, run.Wanted(base, adapters), progress)
    done()
    said = json.dumps(verdict.as_json(found), indent=1) + "\n"
    sys.stdout.write(said if options.json else verdict.table(found))
    return EXIT_FAILED if any(each.failed for each in found) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ailiance check",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("adapter", nargs="?", metavar="ADAPTER", help="only this one")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="the fleet file (./adapters.yaml)"
    )
    parser.add_argument("--base", help="only adapters of this base; the base of a folder")
    parser.add_argument("--json", action="store_true", help="for other programs")
    return parser


def _wanted(
    fleet: Fleet, adapter: str | None, base: str | None, path: Path
) -> dict[str, dict[str, str | Path]]:
    """Base -> its adapters that were asked for."""
    served = [name for name, entry in fleet.bases.items() if entry.engine == "mlx"]
    if base is not None and base not in served:
        known = ", ".join(served)
        raise FleetError(path, None, f"'{base}' is no mlx base of it; known: {known}")
    if adapter is not None and adapter not in fleet.adapters and Path(adapter).is_dir():
        return {_base_of_folder(base, served, path): {Path(adapter).name: Path(adapter)}}
    chosen = {
        name: {
            known: entry.source
            for known, entry in fleet.adapters_of(name).items()
            if adapter in (None, known)
        }
        for name in served
        if base in (None, name)
    }
    chosen = {name: adapters for name, adapters in chosen.items() if adapters}
    if adapter is not None and not chosen:
        known = ", ".join(name for name, a in fleet.adapters.items() if a.base in served)
        raise FleetError(path, None, f"'{adapter}' is no adapter on an mlx base of it; {known}")
    return {name: dict(adapters) for name, adapters in chosen.items()}


def _base_of_folder(base: str | None, served: Sequence[str], path: Path) -> str:
    if base is None and len(served) != 1:
        raise FleetError(path, None, f"of which base? --base: {', '.join(served)}")
    return base or served[0]


def _progress() -> tuple[Callable[[str], None], Callable[[], None]]:
    """Writes one line over and over where someone looks, and clears it at the end."""
    if not sys.stderr.isatty():
        return (lambda _: None), (lambda: None)

    def say(what: str) -> None:
        sys.stderr.write(f"\r\x1b[K{what[:78]}")
        sys.stderr.flush()

    return say, lambda: say("")


def run() -> None:
    """``main`` as a process of its own."""
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        code = 141  # as a shell reports a program that SIGPIPE ended
    # MLX's threads may outlive the interpreter and abort the process (mlx 0.32, Linux)
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
