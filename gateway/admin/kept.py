"""The file of run-time adapters: what was loaded, in order, so that a restart loads it again.

One file for each fleet file, beside the stored responses. Replaced whole, so that a crash leaves
the former one; only its owner reads it. A damaged one is moved aside. Nothing here is opened but
that file: what it names is checked again before it is loaded.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fleet.schema import Name
from gateway.admin.runtime import RuntimeAdapter

log = logging.getLogger("gateway.admin")

VERSION = 1


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    base: Name
    source: Annotated[str, Field(min_length=1)]
    domain: Name | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    fleet: str
    adapters: list[_Entry]


class Kept:
    """``folder`` is that of the state; ``config`` the fleet file that the adapters go with."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._fleet = str(config.resolve())
        digest = hashlib.sha256(self._fleet.encode("utf-8", "surrogateescape")).hexdigest()
        self.file = folder / f"adapters-{digest[:12]}.json"

    def read(self) -> list[RuntimeAdapter]:
        """What was written last; nothing, with a warning, where that can't be read."""
        try:
            found = _File.model_validate_json(self.file.read_bytes())
        except FileNotFoundError:
            return []
        except ValidationError:
            self._set_aside()
            return []
        except OSError as error:
            log.warning("%s: run-time adapters can't be read: %s", self.file, error.strerror)
            return []
        return [RuntimeAdapter(**entry.model_dump()) for entry in found.adapters]

    def write(self, adapters: Iterable[RuntimeAdapter]) -> None:
        """Replaces the file. Blocks; never raises: what can't be kept is warned of."""
        content = {
            "version": VERSION,
            "fleet": self._fleet,
            "adapters": [asdict(each) for each in adapters],
        }
        try:
            _replace(self.file, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        except (OSError, ValueError) as error:
            log.warning(
                "%s: run-time adapters are not kept over a restart: %s", self.file, _reason(error)
            )

    def _set_aside(self) -> None:
        aside = self.file.with_name(self.file.name + ".damaged")
        log.warning("%s can't be read as run-time adapters; moved to %s", self.file, aside)
        try:
            self.file.replace(aside)
        except OSError as error:
            log.warning("%s: %s", self.file, error.strerror)


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes it 0600, whatever the umask
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
