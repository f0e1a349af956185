"""Read a fleet file: parse, validate, cross-check; every fault has file, line and mend."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any, cast, get_args, get_origin

from pydantic import BaseModel, ValidationError

from fleet.errors import FleetError
from fleet.evidence.judge import wrong_way
from fleet.find import FILE, HOME
from fleet.names import Names
from fleet.schema import Fleet, is_hub_id
from fleet.yaml_lines import YamlLines


def load_fleet(path: Path) -> Fleet:
    """The fleet of a file. Raises FleetError; checks that local paths exist."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FleetError(path, None, "no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FleetError(path, None, f"can't be read: {error}") from None
    # the wheel keeps the embedded file inside demo/, its paths start beside the packages
    at = HOME / FILE if path.resolve() == HOME / "demo" / FILE else path
    return parse_fleet(text, at)


def parse_fleet(text: str, path: Path) -> Fleet:
    """The fleet of a text; ``path`` names it in errors and is where relative paths start."""
    parsed = YamlLines(text, str(path))
    value = cast(dict[str, Any], parsed.value)
    if not isinstance(parsed.value, dict):
        what = "empty" if parsed.value is None else "not a mapping of keys"
        raise FleetError(path, None, f"{what}; it needs at least 'version: 1' and 'bases:'")
    if "folder" in value:
        raise FleetError(path, parsed.line_of(("folder",)), "unknown key 'folder'; remove it")
    try:
        fleet = Fleet.model_validate({**value, "folder": path.resolve().parent})
    except ValidationError as error:
        raise _explain(error, parsed, path) from None
    _check_references(fleet, parsed, path)
    _check_names(fleet, parsed, path)
    _check_paths(fleet, parsed, path)
    return fleet


def _explain(error: ValidationError, parsed: YamlLines, path: Path) -> FleetError:
    found = error.errors(include_url=False)
    # a misspelt key is also a missing one: the spelling is the better hint
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    loc = tuple(part for part in first["loc"] if part != "[key]")
    line = parsed.line_of(loc)
    where = ".".join(str(part) for part in loc)
    if first["type"] == "extra_forbidden":
        known = _known_keys(loc)
        close = get_close_matches(str(loc[-1]), known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
        return FleetError(path, line, f"unknown key '{where}'; {hint}")
    if first["type"] == "missing":
        return FleetError(path, line, f"'{where}' is missing; add it")
    return FleetError(path, line, f"{where}: {first['msg'].removeprefix('Value error, ')}")


def _known_keys(loc: tuple[Any, ...]) -> list[str]:
    """The keys that the schema allows beside the unknown one at ``loc``."""
    model: type[BaseModel] = Fleet
    is_entry_name = False  # of a mapping or list: not the name of a field
    for part in loc[:-1]:
        if is_entry_name:
            is_entry_name = False
            continue
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field is not None else None
        if get_origin(annotation) in (dict, tuple):
            annotation = next(a for a in reversed(get_args(annotation)) if a is not ...)
            is_entry_name = True
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return [name for name in model.model_fields if name != "folder"]


def _check_references(fleet: Fleet, parsed: YamlLines, path: Path) -> None:
    for name, adapter in fleet.adapters.items():
        at = ("adapters", name)
        if name in fleet.bases:
            raise FleetError(
                path, parsed.line_of(at), f"adapter and base are both named '{name}'; rename one"
            )
        if adapter.base not in fleet.bases:
            known = ", ".join(fleet.bases)
            raise FleetError(
                path,
                parsed.line_of((*at, "base")),
                f"adapter '{name}' is on unknown base '{adapter.base}'; known: {known}",
            )
        if adapter.domain is not None and adapter.domain not in fleet.domains:
            raise FleetError(
                path,
                parsed.line_of((*at, "domain")),
                f"adapter '{name}' names domain '{adapter.domain}', which 'domains' lacks; "
                "add it there or remove the key",
            )
    if fleet.default_base is not None and fleet.default_base not in fleet.bases:
        raise FleetError(
            path,
            parsed.line_of(("default_base",)),
            f"default_base '{fleet.default_base}' is no base; known: {', '.join(fleet.bases)}",
        )
    _check_one_adapter_a_domain(fleet, parsed, path)
    _check_pins(fleet, parsed, path)
    _check_rules(fleet, parsed, path)


def _check_pins(fleet: Fleet, parsed: YamlLines, path: Path) -> None:
    """Where adapters take turns, one slot at least must be free for that."""
    for name, base in fleet.bases.items():
        adapters = fleet.adapters_of(name)
        pinned = [adapter for adapter, entry in adapters.items() if entry.pinned]
        if base.engine == "mlx" and base.slots < len(adapters) and base.slots <= len(pinned):
            raise FleetError(
                path,
                parsed.line_of(("adapters", pinned[-1], "pinned")),
                f"base '{name}' has {len(adapters)} adapters and {base.slots} slots, "
                f"{len(pinned)} of them pinned: the others have none to take turns in; pin fewer, "
                "or raise 'slots'",
            )


def _check_rules(fleet: Fleet, parsed: YamlLines, path: Path) -> None:
    """No rule may ask for a worse result than the base's."""
    for name, adapter in fleet.adapters.items():
        turned = wrong_way(fleet, adapter)
        if turned is not None:
            at = ("adapters", name, "serve_if") if adapter.serve_if else ("evidence", "serve_if")
            raise FleetError(path, parsed.line_of(at), f"{'.'.join(at)}: {turned}")


def _check_one_adapter_a_domain(fleet: Fleet, parsed: YamlLines, path: Path) -> None:
    taken: dict[tuple[str, str], str] = {}
    for name, adapter in fleet.adapters.items():
        if adapter.domain is None or adapter.status == "quarantined":
            continue
        other = taken.setdefault((adapter.base, adapter.domain), name)
        if other != name:
            raise FleetError(
                path,
                parsed.line_of(("adapters", name, "domain")),
                f"adapters '{other}' and '{name}' both serve domain '{adapter.domain}' on base "
                f"'{adapter.base}'; remove 'domain' from one",
            )


def _check_names(fleet: Fleet, parsed: YamlLines, path: Path) -> None:
    for clash in Names(fleet).clashes():
        raise FleetError(path, parsed.line_of(clash.path), clash.message)


def _check_paths(fleet: Fleet, parsed: YamlLines, path: Path) -> None:
    wanted: list[tuple[tuple[str, ...], str]] = []
    wanted += [
        (("bases", name, "model"), base.model)
        for name, base in fleet.bases.items()
        if base.engine == "mlx"
    ]
    wanted += [
        (("adapters", name, "source"), adapter.source)
        for name, adapter in fleet.adapters.items()
        if fleet.bases[adapter.base].engine == "mlx"
    ]
    wanted += [
        (("domains", n, "examples"), d.examples)
        for n, d in fleet.domains.items()
        if isinstance(d.examples, str)
    ]
    for at, source in wanted:
        if is_hub_id(source):
            continue
        found = _resolved(fleet, source)
        if found is None or not found.exists():
            message = f"{'.'.join(at)}: no file or folder '{found or source}'; {_mend(at, source)}"
            raise FleetError(path, parsed.line_of(at), message)
    for root in fleet.lora_roots or ():
        found = _resolved(fleet, root)
        if found is None or not found.is_dir():
            message = f"lora_roots: no folder '{found or root}'; correct the path"
            raise FleetError(path, parsed.line_of(("lora_roots",)), message)
    for key, source in (("weights", fleet.router.weights), ("encoder", fleet.router.encoder)):
        if source is not None and _resolved(fleet, source) is None:
            message = f"router.{key}: '{source}' can't be a path; correct it"
            raise FleetError(path, parsed.line_of(("router",)), message)


def _mend(at: tuple[str, ...], source: str) -> str:
    if at[-1] != "examples" and re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", source):
        return f"correct the path, or say which revision of the hub's: '{source}@COMMIT'"
    return "correct the path"


def _resolved(fleet: Fleet, source: str) -> Path | None:
    """The path, absolute; None for a text that no file system takes."""
    try:
        found = fleet.resolve(source)
        found.exists()
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a zero byte
        return None
    return found
