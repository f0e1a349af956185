"""Which fleet file is meant: the one named, the one here, or the embedded one."""

from pathlib import Path

FILE = "adapters.yaml"
HOME = Path(__file__).resolve().parent.parent


def find_fleet(named: Path | None, here: Path) -> Path:
    """The path to load; the embedded fleet where neither is given. Does not open it."""
    if named is not None:
        return named
    local = here / FILE
    return local if local.is_file() else embedded_fleet()


def embedded_fleet() -> Path:
    """The default fleet: beside the packages in a checkout, inside ``demo`` in a wheel."""
    in_wheel = HOME / "demo" / FILE
    return in_wheel if in_wheel.is_file() else HOME / FILE
