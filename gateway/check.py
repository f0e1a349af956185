"""``ailiance check``: hands over to a process like a worker's, since only workers have MLX."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from gateway.supervisor import worker_env

HELP = "check each adapter: format, effect, perplexity, loops (check --help)"


def run(arguments: Sequence[str]) -> NoReturn:
    """Replaces this process. ``-P``: a folder named worker/ here must not shadow ours."""
    argv = (sys.executable, "-P", "-m", "worker.check", *arguments)
    os.execve(argv[0], argv, worker_env())  # noqa: S606
