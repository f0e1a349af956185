"""ECMA-262 and Python regular expressions, as JSON schemas hold them, in Rust's dialect.

Where the dialects differ in what they match, the result matches only what all of them do: an
answer must validate with the client's own library. Refuses nothing; what Rust's regex crate has
not (look-around, back-references) llguidance refuses when it compiles.
"""

_DOT = r"[^\n\r\u{2028}\u{2029}]"
_OUTSIDE = {
    # Python's \s has \x1c-\x1f and \x85, ECMA's has \ufeff, Rust's neither
    "s": r"[ \t\n\v\f\r]",
    "S": r"[^\s\x1c-\x1f\u{85}\u{feff}]",
    "d": "[0-9]",
    "D": r"[^0-9\p{Nd}]",
    "w": "[0-9A-Za-z_]",
    "W": r"[^\w]",
}
_IN_CLASS = {"s": r" \t\n\v\f\r", "d": "0-9", "w": "0-9A-Za-z_"}
_IN_NEGATED = {"s": r"\s\x1c-\x1f\u{85}\u{feff}", "d": r"0-9\p{Nd}", "w": r"\w"}
# within a class these begin nested classes and set operations in Rust, nothing elsewhere
_LITERAL_IN_CLASS = "[&~"


def rust_pattern(pattern: str) -> str:
    """The same pattern for Rust's regex crate; unanchored if it was."""
    out: list[str] = []
    at, end, in_class, negated = 0, len(pattern), False, False
    while at < end:
        char = pattern[at]
        if char == "\\" and at + 1 < end:
            out.append(_escape(pattern[at + 1], in_class, negated))
            at += 2
            continue
        if not in_class and char == "[":
            in_class, negated = True, pattern.startswith("^", at + 1)
        elif in_class and char == "]":
            in_class = False
        elif in_class and char in _LITERAL_IN_CLASS:
            char = "\\" + char
        elif not in_class and char == ".":
            char = _DOT
        out.append(char)
        at += 1
    return "".join(out)


def _escape(char: str, in_class: bool, negated: bool) -> str:
    table = (_IN_NEGATED if negated else _IN_CLASS) if in_class else _OUTSIDE
    return "/" if char == "/" else table.get(char, "\\" + char)
