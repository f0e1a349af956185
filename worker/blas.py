"""Put OpenBLAS in front of the reference BLAS that MLX's Linux CPU build links.

Must run before the first ``import mlx.core`` of the process: the dynamic linker binds
``cblas_sgemm`` to the first library in the global scope that has it. Measured here: a
64x512x2048 float32 product goes from 4.7 to over 200 GFLOP/s. Does nothing on macOS
(Accelerate and Metal) and nothing where MLX runs on CUDA.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module, metadata
from pathlib import Path

SYSTEM_LIBRARY = "libopenblas.so.0"
# The BLAS entry points that libmlx.so 0.32 imports (`nm -D libmlx.so`); its LAPACK
# imports stay with the library that MLX ships, nothing here is bound by their speed.
SYMBOLS = ("cblas_sgemm", "cblas_dgemm", "cblas_cgemm")


def default_cache() -> Path:
    """Where a copy of the wheel's library is kept, by the XDG base directory specification."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "ailiance"


def prefer_openblas(cache_dir: Path) -> str:
    """Load OpenBLAS globally if this platform gains from it; say which BLAS is in use.

    Never raises: a machine without OpenBLAS still works, slowly, and the returned line
    says so and names the mend.
    """
    if sys.platform != "linux":
        return "Accelerate/Metal (MLX's own)"
    if "mlx.core" in sys.modules:
        return "reference BLAS (mlx was imported before OpenBLAS could be loaded)"
    try:
        _load_global(SYSTEM_LIBRARY)
        return f"OpenBLAS ({SYSTEM_LIBRARY}, system)"
    except OSError:
        pass
    try:
        path = _wheel_library(cache_dir)
        _load_global(str(path))
        return f"OpenBLAS {metadata.version('scipy-openblas32')} (wheel scipy-openblas32)"
    except (OSError, ImportError, AttributeError, subprocess.SubprocessError) as error:
        reason = str(error) or type(error).__name__
        return f"reference BLAS, slow (no OpenBLAS: {reason}; install libopenblas0)"


def _load_global(library: str) -> None:
    handle = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    for symbol in SYMBOLS:
        getattr(handle, symbol)


def _wheel_library(cache_dir: Path) -> Path:
    """A copy of scipy-openblas32's library whose symbols carry no ``scipy_`` prefix."""
    package = import_module("scipy_openblas32")  # absent where no wheel exists
    source = Path(package.get_lib_dir()) / "libscipy_openblas.so"
    stat = source.stat()
    key = f"{source}:{stat.st_size}:{stat.st_mtime_ns}:{','.join(SYMBOLS)}"
    target = cache_dir / f"libopenblas-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    if not target.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        _rename_symbols(source, target)
    return target


def _rename_symbols(source: Path, target: Path) -> None:
    # Several workers start at once: each writes its own file, the rename is atomic.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        names = Path(folder) / "names"
        names.write_text("".join(f"scipy_{symbol} {symbol}\n" for symbol in SYMBOLS))
        copy = Path(folder) / "copy.so"
        shutil.copyfile(source, copy)
        subprocess.run(
            [_patchelf(), "--rename-dynamic-symbols", str(names), str(copy)],
            check=True,
            capture_output=True,
            timeout=60,
        )
        os.replace(copy, target)


def _patchelf() -> str:
    beside = Path(sys.executable).parent / "patchelf"
    if beside.exists():
        return str(beside)
    found = shutil.which("patchelf")
    if found is None:
        raise OSError("patchelf is not installed")
    return found
