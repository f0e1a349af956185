"""``ailiance router fit`` and ``ailiance router eval``: what the commands do and say."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleet.find import find_fleet
from fleet.load import load_fleet
from fleet.schema import Fleet, is_hub_id
from router import Router
from router.decision import GENERAL
from router.errors import RouterError
from router.files import weights_path

TESTS = Path(__file__).resolve().parent.parent / "tests" / "router" / "data"
HELD_OUT = TESTS / "test"
CONVERSATIONS = TESTS / "conversations" / "test.yaml"

NOTES = (
    "The prompts have other authors than the exemplars and than the dev prompts on which "
    "thresholds were chosen. All authors worked from the same one-line descriptions of the "
    "domains, so prompts from the wild will score lower.",
    "No parameter was chosen on these prompts, but their figures were seen after each of eight "
    "fits, between which exemplars, the spelling and the choice of thresholds from a plateau were "
    "added. The last French exemplars and the plateau came after a held-out figure had missed its "
    "target. Fits that differed in little but rounding scored macro-F1 0.926 to 0.942.",
    "A prompt near a border has one truth here; what a second label would forgive stands beside.",
    "Latency is CPU time of the calling thread, with nothing cached.",
)

FIT = """\
Learns the fleet's domains from their examples (domains.*.examples in the fleet file) and
writes the weights; a running gateway picks them up. Takes under a minute on one core.
"""
EVAL = """\
Measures the router on prompts that it was not fitted on, and writes router-report.md with
two pictures. A file of prompts: 'examples:', a list of {text: ..., domain: ..., lang: ...}.
"""


def add_to(commands: Any) -> Sequence[argparse.ArgumentParser]:
    """Adds ``router fit`` and ``router eval`` to the subparsers; returns the two parsers."""
    router = commands.add_parser("router", help="fit the router on your domains, or measure it")
    verbs = router.add_subparsers(dest="verb", required=True, metavar="fit|eval")
    fit = verbs.add_parser("fit", help="learn the fleet's domains", description=FIT)
    fit.add_argument("--out", type=Path, metavar="FILE", help="weights (router.npz by the fleet)")
    fit.add_argument(
        *("--encoder", "-e"),
        metavar="SOURCE",
        help="also use this ONNX sentence encoder: a folder, or org/name@revision",
    )
    judge = verbs.add_parser("eval", help="measure on held-out prompts", description=EVAL)
    judge.add_argument("--weights", type=Path, metavar="FILE", help="instead of the fleet's")
    judge.add_argument(
        *("--data", "-d"),
        type=Path,
        action="append",
        metavar="FILE",
        help="prompts (may be repeated; default: the project's held-out ones, in a checkout)",
    )
    judge.add_argument("--conversations", type=Path, metavar="FILE", help="conversations to replay")
    judge.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the report (docs)")
    judge.add_argument(
        "--record", type=Path, metavar="FILE", help="keep the figures, for CI to compare with"
    )
    return fit, judge


def run(options: argparse.Namespace) -> int:
    """The exit code. Raises FleetError and RouterError with the mend."""
    fleet = load_fleet(find_fleet(options.config, Path.cwd()))
    return _fit(options, fleet) if options.verb == "fit" else _eval(options, fleet)


def _fit(options: argparse.Namespace, fleet: Fleet) -> int:
    # scipy is slow to import, and serving needs none of it
    from router.learning.fit import fit  # noqa: PLC0415
    from router.learning.material import of_fleet  # noqa: PLC0415
    from router.reading import weights  # noqa: PLC0415
    from router.reading.encoder import Encoder  # noqa: PLC0415

    began = time.monotonic()
    out: Path = options.out or fleet.own_router_weights
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise RouterError(out, "not a file in a folder that there is; name one with --out")
    source = fleet.encoder_source
    if options.encoder is not None:
        source = _absolute(options.encoder)
    encoder = Encoder.load(source) if source is not None else None
    made = fit(of_fleet(fleet), _show, encoder)
    weights.save(made.weights, out)
    sys.stderr.write("\n")
    for line in (*made.notes, made.figures):
        sys.stdout.write(line + "\n")
    size_kib, took_s = out.stat().st_size / 1024, time.monotonic() - began
    sys.stdout.write(
        f"{out}: {len(made.weights.labels) - 1} domains, {len(made.weights.exemplars)} exemplars, "
        f"{size_kib:.0f} KiB, {took_s:.0f} s; a running gateway takes it within seconds\n"
    )
    return 0


def _absolute(source: str) -> str:
    """A folder named on the command line, so that serving finds it from anywhere."""
    return source if is_hub_id(source) else str(Path(source).expanduser().resolve())


def _show(what: str, part: float) -> None:
    if sys.stderr.isatty():
        bar = "#" * int(30 * part)
        sys.stderr.write(f"\r[{bar:<30}] {100 * part:3.0f} %  {what:<28}")
        sys.stderr.flush()


def _eval(options: argparse.Namespace, fleet: Fleet) -> int:
    from router.judging import evaluate  # noqa: PLC0415
    from router.judging.report import write  # noqa: PLC0415
    from router.judging.targets import checks  # noqa: PLC0415
    from router.learning.exemplars import read_file  # noqa: PLC0415

    router = _router(options, fleet)
    files = options.data or _held_out()
    prompts = [prompt for file in files for prompt in read_file(file)]
    unknown = {prompt.label for prompt in prompts} - {*router.domains, GENERAL}
    if unknown and options.data is None:
        raise RouterError(
            HELD_OUT, f"this router does not know {', '.join(sorted(unknown))}; name yours: --data"
        )
    talks = options.conversations or (None if options.data else CONVERSATIONS)
    began = time.monotonic()
    made = evaluate(router, prompts, talks, _show)
    about = {
        "router": f"weights {router.digest[:12]}, {len(router.weights.exemplars)} exemplars, "
        f"{len(router.domains)} domains, {'with' if router.weights.sentence else 'without'} "
        "a sentence encoder",
        "prompts of": ", ".join(sorted(file.stem for file in files)),
        "command": " ".join(["ailiance router eval", *map(str, _named(options))]),
        "date": time.strftime("%Y-%m-%d"),
    }
    notes = NOTES if options.data is None else NOTES[2:]
    written = write(options.out or Path("docs"), made, about, notes)
    sys.stderr.write("\n")
    for check in checks(made):
        verdict = {True: "met", False: "MISSED", None: "not measured"}[check.met]
        value = "-" if check.value is None else f"{check.value:.3f}{check.target.unit}"
        sys.stdout.write(f"{check.target.says:<55} {value:>10}  {verdict}\n")
    if options.record is not None:
        figures = {k: v for k, v in made.figures().items() if not k.endswith("_ms")}
        _record(options.record, figures)
    for path in written.paths:
        sys.stdout.write(f"{path}\n")
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")
    if written.hint:
        sys.stdout.write(written.hint + "\n")
    return 0


def _named(options: argparse.Namespace) -> list[str]:
    return [f"--data {file.name}" for file in options.data or ()]


def _record(path: Path, figures: dict[str, float]) -> None:
    try:
        path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise RouterError(path, f"can't be written ({error.strerror})") from None


def _router(options: argparse.Namespace, fleet: Fleet) -> Router:
    return Router.load(options.weights or weights_path(fleet), fleet.encoder_source)


def _held_out() -> list[Path]:
    found = sorted(HELD_OUT.glob("*.yaml"))
    if not found:
        raise RouterError(
            HELD_OUT, "the project's held-out prompts are in a checkout only; name yours: --data"
        )
    return found
