"""``python -m bench.peer``: mlx_lm.server, unpatched, with the BLAS that our worker uses.

Without it, mlx_lm.server would run on the reference BLAS on Linux, several times slower,
and the comparison would be of BLAS libraries. Takes mlx_lm.server's own arguments.
"""

import sys
from importlib import import_module

from bench.models import cache_dir
from worker.blas import prefer_openblas


def main() -> None:
    """Load OpenBLAS, then hand over."""
    sys.stderr.write(f"BLAS: {prefer_openblas(cache_dir())}\n")
    import_module("mlx_lm.server").main()


if __name__ == "__main__":
    main()
