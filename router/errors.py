"""What is wrong with the router's files, and the mend."""

from pathlib import Path


class RouterError(Exception):
    """Weights or exemplars can't be used. ``str()`` is ``file: what; mend``."""

    def __init__(self, path: Path | str, message: str) -> None:
        self.path = str(path)
        self.message = message
        super().__init__(f"{path}: {message}")
