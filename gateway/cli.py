"""``ailiance``: serve, worker, route, router. A user's fault is one line on stderr."""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from fleet.errors import FleetError
from fleet.find import find_fleet
from fleet.load import load_fleet
from fleet.names import Auto, Names
from gateway import __version__, check
from gateway.admin import cli as admin_cli
from gateway.admin.key import KeyFault
from gateway.cards import cli as cards_cli
from gateway.evaluate import cli as evaluate_cli
from gateway.routers import load_router, unrouted_warnings
from gateway.routing import Judged, plan_route
from router import cli as router_cli
from router.errors import RouterError
from router.explaining import explain, lines

EXIT_USAGE = 2
EXIT_CONFIG = 78
EXIT_PIPE = 141  # as a shell reports a program that SIGPIPE ended

EPILOG = """\
The fleet (bases, adapters, domains, aliases) is one file: ./adapters.yaml if there is one,
else the small embedded fleet that ships with ailiance.
"""


class _Fault(Exception):
    """What the user can mend: printed as one line, with this exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of a command line: 0, 2 for its use, 78 for its configuration."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["worker"]:
        return _worker(arguments[1:])
    if arguments[:1] == ["check"]:
        check.run(arguments[1:])
    options = _parser().parse_args(arguments)
    commands = {
        "serve": _serve,
        "route": _route,
        "router": router_cli.run,
        "eval": evaluate_cli.run,
        "card": cards_cli.run,
    }
    try:
        code = commands[options.command](options)
        sys.stdout.flush()
        return code
    except _Fault as fault:
        sys.stderr.write(f"ailiance: {fault}\n")
        return fault.code
    except (FleetError, RouterError) as fault:
        sys.stderr.write(f"ailiance: {fault}\n")
        return EXIT_CONFIG
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # whoever read our output has gone, `head` for one; Python's last flush must not fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ailiance",
        description="OpenAI-compatible gateway: many LoRA specialists, few resident bases.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ailiance {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    serve = commands.add_parser("serve", help="start the gateway and its workers")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument("--port", type=_port, default=9300, help="0 takes a free one (%(default)s)")
    kept = serve.add_mutually_exclusive_group()
    kept.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="where responses are stored, prompts included (~/.local/state/ailiance)",
    )
    kept.add_argument(
        "--no-store",
        action="store_true",
        help="store no responses, and forget adapters loaded at run time",
    )
    admin_cli.add_to(serve)
    commands.add_parser(
        "worker",
        help="one base and its adapters as an OpenAI server of its own (worker --help)",
        add_help=False,
    )
    commands.add_parser("check", help=check.HELP, add_help=False)
    route = commands.add_parser("route", help="say where a text would be sent, and why")
    route.add_argument("text", help="the user's message; - reads it from stdin")
    route.add_argument(
        "--explain", action="store_true", help="also scores, terms, nearest exemplars, and why"
    )
    router_commands = router_cli.add_to(commands)
    evaluate_cli.add_to(commands)
    for command in (serve, route, *router_commands, *cards_cli.add_to(commands)):
        command.add_argument(
            "--config", type=Path, metavar="FILE", help="the fleet file (./adapters.yaml)"
        )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port; 0 to 65535")
    return port


def _serve(options: argparse.Namespace) -> int:
    # here, not at the top: `ailiance route` and --help need no HTTP
    import uvloop  # noqa: PLC0415

    from gateway import logs  # noqa: PLC0415
    from gateway.reload import stamps_of  # noqa: PLC0415
    from gateway.serve import ServeOptions, bind, serve  # noqa: PLC0415

    # taken out, as workers get this environment
    from_environment = os.environ.pop(admin_cli.VARIABLE, None)
    try:
        admin_key = admin_cli.key_of(options, from_environment)
    except KeyFault as fault:
        raise _Fault(str(fault), EXIT_CONFIG) from None
    config = find_fleet(options.config, Path.cwd())
    fleet = load_fleet(config)
    stamps = stamps_of(config, fleet)
    router = load_router(fleet)
    state = None
    if not options.no_store:
        state = options.state or state_folder(os.environ.get("XDG_STATE_HOME", ""))
    try:
        listener = bind(options.host, options.port)
    except OSError as error:
        where = f"{options.host}:{options.port}"
        raise _Fault(f"can't listen on {where}: {error.strerror}; try --port", EXIT_USAGE) from None
    logs.configure()
    for line in unrouted_warnings(fleet, router.domains):
        sys.stderr.write(f"warning: {line}\n")
    if fleet.encoder_source is not None and router.weights.sentence is None:
        sys.stderr.write(
            "warning: router.encoder is set, but the weights use none; 'ailiance router fit'\n"
        )
    # what is loaded by now lives as long as the process: not worth a collector's time
    gc.freeze()
    with listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(
            serve(
                ServeOptions(
                    config,
                    options.host,
                    options.port,
                    state=state,
                    stamps=stamps,
                    admin_key=admin_key,
                ),
                fleet,
                router,
                listener,
            )
        )


def state_folder(xdg: str, home: Callable[[], Path] = Path.home) -> Path:
    """As the XDG base directory specification has it; a relative path there is ignored."""
    given = Path(xdg)
    if given.is_absolute():
        return given / "ailiance"
    try:
        return home() / ".local" / "state" / "ailiance"
    except RuntimeError:
        # a container's user without an entry in passwd
        mend = "no home folder to store responses in; give --state DIR or --no-store"
        raise _Fault(mend, EXIT_USAGE) from None


def _worker(arguments: list[str]) -> int:
    from gateway.supervisor import worker_argv, worker_env  # noqa: PLC0415

    argv = worker_argv(*arguments)
    os.execve(argv[0], argv, worker_env())  # noqa: S606


def _route(options: argparse.Namespace) -> int:
    fleet = load_fleet(find_fleet(options.config, Path.cwd()))
    text = options.text
    if text == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    router = load_router(fleet)
    decision = router.classify([("user", text)])
    route = plan_route(Auto(None), decision, Judged(fleet, date.today()))
    scores = sorted(decision.scores.items(), key=lambda item: -item[1])[:5]
    facts = [
        ("model", Names(fleet).public(route.base, route.adapter)),
        ("base", route.base),
        ("adapter", route.adapter or "-"),
        ("domain", route.domain or "-"),
        ("confidence", f"{decision.confidence:.3f}"),
        ("reason", route.reason),
        ("scores", ", ".join(f"{name} {score:.3f}" for name, score in scores)),
    ]
    if route.lacking is not None:
        lacking = route.lacking
        facts.insert(6, ("evidence", f"{lacking.adapter}: {lacking.unmet.found}"))
    sys.stdout.write("".join(f"{name:<11} {value}\n" for name, value in facts))
    if options.explain:
        told = lines(explain(router, [("user", text)]))
        sys.stdout.write("\n" + "".join(line + "\n" for line in told))
    return 0
