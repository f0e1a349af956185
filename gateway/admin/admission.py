"""What a request to load an adapter means beside the fleet, or why it is refused.

Paths are looked at, nothing is opened. The gateway checks names and places; whether the files are
an adapter of the base is for the worker to prove.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fleet.confine import confined
from fleet.errors import SourceError
from fleet.schema import Fleet, is_hub_id, is_pinned
from gateway.admin.plan import Change, Refused, Replace, Unload, source_of
from gateway.admin.requests import INVALID, LoadAdapterRequest
from gateway.admin.runtime import MOST_PER_BASE, RuntimeAdapter, Taken, merge
from wire.errors import InvalidRequest


def checked_source(path: str, roots: Sequence[Path]) -> str:
    """A path inside ``roots``, made absolute, or a pinned hub id. Raises SourceError."""
    if "://" in path:
        raise SourceError(
            "lora_path", "nothing is fetched from a URL; name a folder, or 'org/name@COMMIT'"
        )
    if not is_hub_id(path):
        return str(confined(path, roots))
    if not is_pinned(path):
        raise SourceError(
            "lora_path", f"'{path}' may change; pin its revision: 'org/name@COMMIT', 40 digits"
        )
    return path


def outside(changes: Iterable[Change], roots: Sequence[Path]) -> Refused | None:
    """A change that a running worker would not make, nor undo: only at its start it trusts the
    fleet file with paths anywhere."""
    for change in changes:
        if isinstance(change, Unload):
            continue
        former = [change.former] if isinstance(change, Replace) else []
        for source in (change.source, *former):
            try:
                if not is_hub_id(source):
                    confined(source, roots)
            except SourceError as error:
                return Refused(f"adapter '{change.name}': {error.message}; or restart to serve it")
    return None


def admit(
    asked: LoadAdapterRequest,
    source: str,
    file: Fleet,
    loaded: Mapping[str, RuntimeAdapter],
) -> RuntimeAdapter:
    """What to load, of which ``source`` was checked. Raises InvalidRequest with the mend. Pure.

    ``file`` is the fleet of the file alone, ``loaded`` what clients loaded before.
    """
    name = asked.lora_name
    former = loaded.get(name)
    if not asked.load_inplace and (name in file.adapters or former is not None):
        raise refused(
            f"The lora adapter '{name}' has already been loaded. If you want to load the adapter "
            "in place, set 'load_inplace' to True."
        )
    if name in file.adapters:
        return _of_file(asked, source, file)
    base = asked.base or (former.base if former else _only_base(file))
    entry = RuntimeAdapter(name, base, source, asked.domain)
    if former is not None and former.base != base:
        raise refused(f"adapter '{name}' is on base '{former.base}'; unload it first", "base")
    others = [each for each in loaded.values() if each.name != name]
    _check(entry, file, others)
    # read anew, it keeps the domain that it was loaded for
    return replace(entry, domain=former.domain) if former and not asked.domain else entry


def refused(message: str, param: str = "lora_name") -> InvalidRequest:
    return InvalidRequest(message, param=param, code=INVALID)


def _check(entry: RuntimeAdapter, file: Fleet, others: Sequence[RuntimeAdapter]) -> None:
    taken = Taken(merge(file, others).fleet)
    if (fault := taken.fault(entry)) is not None:
        base = file.bases.get(entry.base)
        raise refused(fault, "lora_name" if base and base.engine == "mlx" else "base")
    if (fault := taken.domain_fault(entry)) is not None:
        raise refused(fault, "domain")
    if sum(each.base == entry.base for each in others) >= MOST_PER_BASE:
        raise refused(f"base '{entry.base}' has {MOST_PER_BASE} of them; unload some first")


def _of_file(asked: LoadAdapterRequest, source: str, file: Fleet) -> RuntimeAdapter:
    """An adapter of the file may be read anew from where it is; all else is the file's."""
    name, adapter = asked.lora_name, file.adapters[asked.lora_name]
    is_ours = file.bases[adapter.base].engine == "mlx"
    is_same = source == source_of(file, adapter.source) and asked.domain in (None, adapter.domain)
    if not is_ours or not is_same or asked.base not in (None, adapter.base):
        raise refused(
            f"adapter '{name}' is in the fleet file; change it there, and it is taken within "
            "seconds"
        )
    return RuntimeAdapter(name, adapter.base, source, adapter.domain)


def _only_base(file: Fleet) -> str:
    served = [name for name, base in file.bases.items() if base.engine == "mlx"]
    if len(served) != 1:
        what = f"one of: {', '.join(served)}" if served else "no base here loads adapters"
        raise refused(f"which base the adapter is for is open; send 'base', {what}", "base")
    return served[0]
