"""OpenBLAS is put in front before any test module imports MLX.

One thread of it: the test models are tiny, and threads that wait for each other on a busy
machine are slower than one.
"""

import os
from pathlib import Path

from hypothesis import settings

from worker.blas import prefer_openblas

# the same examples each time: a change is judged by its own tests, and not by luck
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ailiance"
BLAS = prefer_openblas(CACHE)
