"""``python -m worker``: one base of a fleet, and its adapters, as an OpenAI server."""

import argparse
import logging
import os
import sys
from importlib import import_module
from pathlib import Path

from fleet.errors import FleetError
from fleet.find import find_fleet
from fleet.load import load_fleet
from fleet.schema import Fleet
from worker.blas import default_cache, prefer_openblas

EXIT_CONFIG = 78


def main(argv: list[str] | None = None) -> int:
    """Parse, check the fleet file, serve. Returns the exit code."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # the hub's client (its HTTP library changed its name) tells of every request
    for chatty in ("uvicorn.error", "httpx", "httpx2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        config = find_fleet(args.config, Path.cwd())
        fleet = load_fleet(config)
        base = _base(fleet, args.base, config)
    except FleetError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 (for the user)
        return EXIT_CONFIG
    blas = prefer_openblas(default_cache())
    # MLX binds its BLAS when first imported: nothing above may import it
    process = import_module("worker.process")
    listen = process.Listen(args.uds, args.host, args.port)
    return process.run_worker(fleet, base, blas, listen, exit_with_parent=args.exit_with_parent)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ailiance worker",
        description="Serve one base of a fleet with all its adapters, as an OpenAI server "
        "(/v1/chat/completions, /v1/completions, /v1/models, /metrics).",
    )
    parser.add_argument(
        "--config",
        type=Path,
        help="the fleet file; default: ./adapters.yaml if there is one, else the embedded fleet",
    )
    parser.add_argument("--base", help="which base; needed when the file has several")
    parser.add_argument("--uds", metavar="PATH", help="listen on a Unix socket instead of a port")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=9400, help="default: %(default)s")
    parser.add_argument(
        "--exit-with-parent", action="store_true", help="stop when standard input ends"
    )
    return parser


def _base(fleet: Fleet, asked: str | None, path: Path) -> str:
    served = [name for name, base in fleet.bases.items() if base.engine == "mlx"]
    if asked is None and len(served) == 1:
        return served[0]
    if asked not in served:
        known = ", ".join(served)
        what = f"base '{asked}' is not an mlx base of it" if asked else "it has several bases"
        raise FleetError(path, None, f"{what}; choose with --base: {known}")
    return asked


def run() -> None:
    """``main`` as a process of its own."""
    code = main()
    # MLX's threads may outlive the interpreter and abort the process, losing the exit code
    # that tells the gateway not to try again (mlx 0.32, Linux)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
