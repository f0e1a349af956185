"""Rebuild the embedded fleet from demo/corpus: bases first, then their adapters.

Needs the extra ``[train]`` (PyTorch, transformers, tokenizers, tqdm). Uses a GPU if there
is one, else two CPU threads.
"""

import argparse
import time
from pathlib import Path

from demo import root
from demo.adapters import train_adapters
from demo.bases import train_base
from demo.fleet_plan import ADAPTERS, BASES
from demo.machine import this_machine


def main() -> None:
    """Train what the command line names, by default everything, and write it to --out."""
    args = _arguments()
    machine = this_machine(args.threads, args.effort, args.base_minutes, args.adapter_minutes)
    started = time.monotonic()
    for base in [args.only] if args.only else BASES:
        folder = args.out / "models" / base
        if not args.keep_base:
            train_base(base, folder, machine, args.seed)
        plans = [plan for plan in ADAPTERS if plan.base == base]
        if args.domains is not None:
            plans = [plan for plan in plans if plan.domain in args.domains]
        if plans:
            train_adapters(folder, plans, args.out / "adapters", machine, args.seed)
    print(f"done in {(time.monotonic() - started) / 60:.1f} minutes, written to {args.out}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.train", description=__doc__)
    known = [plan.domain for plan in ADAPTERS]
    parser.add_argument("--only", choices=BASES, help="one base and its adapters")
    parser.add_argument("--domains", nargs="*", choices=known, help="these adapters only")
    parser.add_argument(
        "--keep-base", action="store_true", help="train adapters on the base found in --out"
    )
    parser.add_argument("--out", type=Path, default=root(), help="default: the demo folder")
    parser.add_argument("--effort", type=float, default=1.0, help="multiplies all steps")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    unlimited = float("inf")
    parser.add_argument("--base-minutes", type=float, default=unlimited, help="at most, a base")
    parser.add_argument(
        "--adapter-minutes", type=float, default=unlimited, help="at most, an adapter"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
