"""Varied JSON schemas, as clients send them, for property tests: ``schemas()``."""

from typing import Any

from hypothesis import strategies as st

KEYS = st.sampled_from(
    [
        "name",
        "age",
        "a",
        "b",
        "id",
        "größe",
        "日本",
        "a b",
        'q"uote',
        "back\\slash",
        "x-y",
        "é🙂",
        "",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1000, 10**9),
    st.sampled_from([0.5, -1.25, 3.0]),
    st.text(max_size=8),
)
FORMATS = "date-time date time email uuid ipv4 ipv6 uri hostname duration int32".split()  # noqa: SIM905
PATTERNS = [
    r"^[a-z]+$",
    r"^\d{3}-\d{2}$",
    r"[A-Z]{2}",
    r"^(foo|ba+r)\.$",
    r"^\w+@\w+\.(com|org)$",
    r"^.{2,5}$",
    r"^[^\s&~\[]+$",
    r"^\S+ \S+$",
    r"a|b$",
    r"^\D\W$",
]


def schemas(depth: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly satisfiable; some use keywords that are refused."""
    return st.one_of(_schema(depth), _recursive())


def _schema(depth: int) -> st.SearchStrategy[Any]:
    leaves = [_strings(), _numbers(), _literals(), st.just({"type": "boolean"}), _unions()]
    if depth == 0:
        return st.one_of(*leaves)
    inner = st.deferred(lambda: _schema(depth - 1))
    return st.one_of(*leaves, _objects(inner), _objects(inner), _arrays(inner), _any_of(inner))


def _unions() -> st.SearchStrategy[Any]:
    return st.sampled_from(
        [{"type": ["string", "null"]}, {"type": ["integer", "boolean"]}, {"type": "null"}, {}, True]
    )


@st.composite
def _strings(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    kind = draw(st.sampled_from(["plain", "length", "pattern", "format"]))
    if kind == "length":
        least = draw(st.integers(0, 12))
        schema["minLength"] = least
        if draw(st.booleans()):
            schema["maxLength"] = least + draw(st.integers(0, 20))
    elif kind == "pattern":
        schema["pattern"] = draw(st.sampled_from(PATTERNS))
    elif kind == "format":
        schema["format"] = draw(
            st.sampled_from(
                [
                    "date-time",
                    "date",
                    "time",
                    "email",
                    "uuid",
                    "ipv4",
                    "ipv6",
                    "uri",
                    "hostname",
                    "duration",
                    "int32",
                ]
            )
        )
    return schema


@st.composite
def _numbers(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    least = draw(st.integers(-500, 500))
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = least
    if draw(st.booleans()):
        most = least + draw(st.integers(2, 1000))
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = most
    if draw(st.integers(0, 4)) == 0:
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 5, 0.5, 0.25]))
    return schema


def _literals() -> st.SearchStrategy[Any]:
    values = st.one_of(
        SCALARS, st.lists(SCALARS, max_size=2), st.dictionaries(KEYS, SCALARS, max_size=2)
    )
    return st.one_of(
        st.builds(lambda v: {"const": v}, values),
        st.builds(lambda v: {"enum": v}, st.lists(values, min_size=1, max_size=4)),
    )


@st.composite
def _objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(KEYS, inner, max_size=4))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if properties:
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    extra = draw(st.integers(0, 6))
    if extra < 4:
        schema["additionalProperties"] = False if extra < 3 else draw(inner)
    if draw(st.integers(0, 5)) == 0:
        keyword = draw(st.sampled_from(["minProperties", "dependentRequired", "patternProperties"]))
        schema[keyword] = {
            "minProperties": draw(st.integers(0, 2)),
            "dependentRequired": {"a": ["b"]},
            "patternProperties": {"^z[0-9]": {"type": "integer"}},
        }[keyword]
    return schema


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "array", "items": draw(inner)}
    if draw(st.booleans()):
        least = draw(st.integers(0, 3))
        schema |= {"minItems": least, "maxItems": least + draw(st.integers(0, 3))}
    if draw(st.integers(0, 4)) == 0:
        schema["prefixItems"] = draw(st.lists(inner, min_size=1, max_size=2))
    if draw(st.integers(0, 8)) == 0:
        schema["uniqueItems"] = True
    return schema


@st.composite
def _any_of(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    keyword = draw(st.sampled_from(["anyOf", "anyOf", "oneOf", "allOf"]))
    return {keyword: draw(st.lists(inner, min_size=1, max_size=3))}


@st.composite
def _recursive(draw: st.DrawFn) -> dict[str, Any]:
    tree = {
        "type": "object",
        "properties": {
            "value": draw(_schema(0)),
            "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
            "next": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
        },
        "required": draw(st.sampled_from([["value"], ["next"], ["value", "children", "next"]])),
        "additionalProperties": False,
    }
    return {"$defs": {"tree": tree}, "$ref": "#/$defs/tree"}
