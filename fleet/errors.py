"""What is wrong with a fleet file, where, and how to mend it."""

from pathlib import Path


class FleetError(Exception):
    """The fleet file can't be used. ``str()`` is ``file:line: what; mend``."""

    def __init__(self, path: Path | str, line: int | None, message: str) -> None:
        self.path = str(path)
        self.line = line
        self.message = message
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{where}: {message}")


class SourceError(Exception):
    """A base or adapter that the fleet file points to can't be served as it is.

    ``str()`` names it, says what is wrong with which file or tensor, and the mend.
    """

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        self.message = message
        super().__init__(f"{name}: {message}")
