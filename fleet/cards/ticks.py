"""Boxes that are ticked, and answers Yes or No. Pure."""

import re

_TICKED = r"(?:[☒☑✅]|\[[xX]\])"
_OPEN = r"(?:[☐□]|\[ \])"
_YES_NO = re.compile(rf"({_TICKED}|{_OPEN}) ?(Yes|No)\b", re.IGNORECASE)
_BOX = re.compile(rf"({_TICKED}|{_OPEN}) ?([^☒☑✅☐□\[|]{{1,80}})")
_IS_TICKED = re.compile(_TICKED)


def answers(text: str) -> list[bool | None]:
    """One for each pair of boxes Yes and No, in their order; None: neither or both ticked."""
    boxes = [(m.group(2).lower() == "yes", _is_ticked(m.group(1))) for m in _YES_NO.finditer(text)]
    found: list[bool | None] = []
    for first, second in zip(boxes[::2], boxes[1::2], strict=False):
        ticked = [says for says, is_ticked in (first, second) if is_ticked]
        found.append(ticked[0] if len(ticked) == 1 else None)
    return found


def answer(text: str) -> bool | None:
    """Yes if any question of a section is; None where one is open and none is Yes."""
    found = answers(text)
    if True in found:
        return True
    return False if found and None not in found else None


def ticked(text: str) -> tuple[str, ...]:
    """The labels of ticked boxes, without emphasis."""
    found = [(m.group(1), m.group(2).strip(" *_`.")) for m in _BOX.finditer(text)]
    return tuple(label for box, label in found if _is_ticked(box) and label)


def has_boxes(text: str) -> bool:
    return _BOX.search(text) is not None


def without(text: str) -> str:
    """The text without its boxes Yes and No."""
    return " ".join(_YES_NO.sub("", text).split())


def _is_ticked(box: str) -> bool:
    return _IS_TICKED.fullmatch(box) is not None
