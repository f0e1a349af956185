"""Put results into a fleet file: only the lines of one adapter change, comments stay.

The new text must load to exactly the fleet that is meant, or nothing is written; the file is
replaced in one step.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fleet.errors import FleetError
from fleet.evidence.edit import EditError, as_yaml, with_results
from fleet.evidence.results import Evaluation
from fleet.find import FILE
from fleet.load import load_fleet, parse_fleet
from fleet.names import Names
from fleet.schema import Fleet
from gateway.evaluate.errors import EvaluationError


def check_writable(config: Path, adapter: str) -> None:
    """Raises FleetError or EvaluationError where results of ``adapter`` can't be kept."""
    fleet = load_fleet(config)
    names = Names(fleet)
    known = {name: names.public(each.base, name) for name, each in fleet.adapters.items()}
    if adapter not in (*known, *known.values()):
        raise EvaluationError(f"{config}: there is no adapter '{adapter}' in it; omit --write")
    folder = config.resolve().parent
    if not os.access(folder, os.W_OK):
        raise EvaluationError(f"{folder}: can't be written; name a file of yours: --config")


def write_results(config: Path, adapter: str, results: Sequence[Evaluation]) -> Fleet:
    """The fleet with the results, which the file now holds.

    Raises FleetError or EvaluationError; the file is then as it was.
    """
    fleet = load_fleet(config)
    try:
        made = _edited(config, fleet, adapter, results)
        _replace(config.resolve(), made)
    except (EditError, FleetError, OSError) as error:
        lines = "".join(f"\n  - {as_yaml(each)}" for each in results)
        raise EvaluationError(
            f"{config}: not written ({error}); add to adapters.{adapter}.evaluation:{lines}"
        ) from None
    return load_fleet(config)


def _edited(config: Path, fleet: Fleet, adapter: str, results: Sequence[Evaluation]) -> bytes:
    """The new file, which loads to ``fleet`` with the results and nothing else changed."""
    entry = fleet.adapters.get(adapter)
    if entry is None:
        raise EditError(f"there is no adapter '{adapter}' in it")
    old = config.read_bytes().decode("utf-8")  # line ends as they are
    edit = with_results(old, adapter, entry.evaluation, results)
    changed = {adapter: entry.model_copy(update={"evaluation": edit.evaluation})}
    wanted = fleet.model_copy(update={"adapters": fleet.adapters | changed})
    # the folder is not the file's for the embedded one in a wheel
    if parse_fleet(edit.text, fleet.folder / FILE) != wanted:
        raise EditError("its layout is one that is not edited by program")
    return edit.text.encode("utf-8")


def _replace(path: Path, content: bytes) -> None:
    """In one step: whoever reads the file sees the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), path.stat().st_mode & 0o7777)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
