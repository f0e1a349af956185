"""Parse YAML into plain values together with the line of every key; refuse duplicate keys."""

from typing import Any, cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from fleet.errors import FleetError

Path = tuple[str | int, ...]


class YamlLines:
    """The plain value of a YAML text, and the line (from 1) where each path starts."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self.lines: dict[Path, int] = {}
        try:
            loader = yaml.SafeLoader(text)
            node: Node | None = loader.get_single_node()  # pyright: ignore[reportUnknownMemberType]
            self._loader = loader
            self.value: Any = self._plain(node, ()) if node is not None else None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark is not None else None
            raise FleetError(file, line, f"not valid YAML: {error.problem}") from None
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())  # PyYAML breaks lines in some of its texts
            raise FleetError(file, None, f"not valid YAML: {reason}") from None
        except RecursionError:
            raise FleetError(file, None, "not valid here: nested without end") from None

    def line_of(self, path: Path) -> int | None:
        """The line of a path, or of its nearest parent that stands in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def _plain(self, node: Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._plain(child, (*path, i)) for i, child in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        try:
            return cast(Any, self._loader.construct_object(node))  # pyright: ignore[reportUnknownMemberType]
        except ValueError as error:
            # text that looks like a date or a number and is none, such as 2026-02-30
            line, text = node.start_mark.line + 1, node.value
            raise FleetError(self._file, line, f"'{text}': {error}; put it in quotes") from None

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, ScalarNode):
                raise FleetError(self._file, line, "a key must be text, not a list or a mapping")
            key = str(key_node.value)
            if key in result:
                first = self.lines[(*path, key)]
                raise FleetError(
                    self._file,
                    line,
                    f"'{key}' stands twice (first at line {first}); rename or remove one",
                )
            self.lines[(*path, key)] = line
            result[key] = self._plain(value_node, (*path, key))
        return result
