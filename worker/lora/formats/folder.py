"""An adapter's folder: which format it is, and its two files. Opens no weights.

Refused: no folder; neither or both weight files; pickles; files that a link takes out of
the folder (the links of the model hub's own cache stay inside it).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from fleet.errors import SourceError
from worker.lora.formats.naming import shown, some

Format = Literal["mlx", "peft"]

WEIGHTS: dict[Format, str] = {"mlx": "adapters.safetensors", "peft": "adapter_model.safetensors"}
CONFIG = "adapter_config.json"
MAX_CONFIG_BYTES = 1 << 20
# formats that can run code when opened, or that nothing here reads
_NEVER_OPENED = (".bin", ".pt", ".pth", ".pickle", ".pkl", ".ckpt", ".npz", ".gguf")


@dataclass(frozen=True)
class AdapterFolder:
    """Where an adapter's weights are, its config, and the config's own digest."""

    form: Format
    weights: Path
    config: dict[str, Any]
    config_digest: str


def open_folder(name: str, path: Path) -> AdapterFolder:
    """The adapter folder at ``path``. Raises SourceError with the mend."""
    if not path.is_dir():
        raise SourceError(name, f"adapter folder '{path}' does not exist; correct 'source'")
    form = _format(name, path)
    weights = _inside(name, path, WEIGHTS[form])
    config, digest = _config(name, path)
    return AdapterFolder(form, weights, config, digest)


def _format(name: str, path: Path) -> Format:
    found: list[Format] = [form for form, file in WEIGHTS.items() if (path / file).is_file()]
    if len(found) == 1:
        return found[0]
    names = " nor ".join(WEIGHTS.values())
    if found:
        raise SourceError(name, f"'{path}' holds both formats; keep one of them")
    others = sorted(f.name for f in path.iterdir() if f.suffix in _NEVER_OPENED)
    if others:
        raise SourceError(
            name,
            f"'{path}' holds neither {names}, but {some([shown(o) for o in others])}, which is "
            "never opened; save the adapter as safetensors with the program that made it",
        )
    raise SourceError(name, f"'{path}' holds neither {names}")


def _config(name: str, path: Path) -> tuple[dict[str, Any], str]:
    file = path / CONFIG
    if not file.is_file():
        raise SourceError(name, f"'{file}' is missing; the scale stands in it")
    try:
        with _inside(name, path, CONFIG).open("rb") as stream:
            content = stream.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            raise SourceError(name, f"'{file}' is longer than {MAX_CONFIG_BYTES} bytes")
        config = json.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(name, f"'{file}' can't be read: {shown(str(error))}") from None
    if not isinstance(config, dict):
        raise SourceError(name, f"'{file}' is not a JSON object")
    return cast(dict[str, Any], config), hashlib.sha256(content).hexdigest()


def _inside(name: str, path: Path, file: str) -> Path:
    """The file that ``file`` really is, which must be in the folder, or in the hub's cache."""
    folder = path.resolve()
    real = (folder / file).resolve()
    roots = [folder]
    if folder.parent.name == "snapshots":
        # huggingface_hub keeps contents in blobs/ and links to them from snapshots/COMMIT/
        roots.append(folder.parent.parent / "blobs")
    if not any(real.is_relative_to(root) for root in roots):
        raise SourceError(
            name, f"'{path / file}' is a link that leaves its folder; put the file itself there"
        )
    return real
