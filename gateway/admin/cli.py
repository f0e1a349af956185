"""The admin key on the command line of ``ailiance serve``."""

import argparse
import sys
from pathlib import Path

from gateway.admin.key import read_key, usable

VARIABLE = "AILIANCE_ADMIN_KEY"


def add_to(serve: argparse.ArgumentParser) -> None:
    """Adds ``--admin-key-file``."""
    serve.add_argument(
        "--admin-key-file",
        type=Path,
        metavar="FILE",
        help=f"who sends its text may load and unload adapters (or {VARIABLE})",
    )


def key_of(options: argparse.Namespace, from_environment: str | None) -> str | None:
    """The key, if one is set; the file before the environment. Warns. Raises KeyFault."""
    if options.admin_key_file is not None:
        given = read_key(options.admin_key_file)
    elif from_environment is not None:
        given = usable(from_environment, VARIABLE)
    else:
        return None
    for line in given.warnings:
        sys.stderr.write(f"warning: {line}\n")
    return given.key
