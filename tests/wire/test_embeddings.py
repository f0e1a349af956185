"""OpenAI's embeddings: what is taken, what is refused and by which name, both encodings."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.embeddings import MAX_INPUTS, embedding_body, parse_embedding
from wire.errors import InvalidRequest


def parse(**body):
    return parse_embedding(json.dumps({"model": "m", **body}).encode())


def refusal(**body):
    with pytest.raises(InvalidRequest) as caught:
        parse(**body)
    return caught.value


@pytest.mark.parametrize(
    ("given_", "inputs", "named"),
    [
        ("a", ["a"], "input"),
        ([5, 6], [[5, 6]], "input"),
        (["a", "b"], ["a", "b"], "input[0]"),
        ([[5], [6, 7]], [[5], [6, 7]], "input[0]"),
        (["a"] * MAX_INPUTS, ["a"] * MAX_INPUTS, "input[0]"),
    ],
)
def test_inputs(given_, inputs, named):
    request = parse(input=given_)
    assert request.inputs == inputs
    assert request.param_of(0) == named


def test_the_defaults_are_those_of_openai():
    request = parse(input="a", dimensions=None, user=None, encoding_format=None)
    assert (request.encoding_format, request.dimensions, request.user) == ("float", None, None)


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "input", None),
        ({"input": None}, "input", None),
        ({"input": ""}, "input", None),
        ({"input": []}, "input", None),
        ({"input": ["a", ""]}, "input[1]", None),
        ({"input": [[5], []]}, "input[1]", None),
        ({"input": 5}, "input", None),
        ({"input": {"text": "a"}}, "input", None),
        ({"input": [5, "a"]}, "input[1]", None),
        ({"input": ["a", 5]}, "input[1]", None),
        ({"input": ["a", [5]]}, "input[1]", None),
        ({"input": [[5], "a"]}, "input[1]", None),
        ({"input": [[5], [6, -1]]}, "input[1][1]", None),
        ({"input": [1.5]}, "input[0]", None),
        ({"input": ["a"] * (MAX_INPUTS + 1)}, "input", None),
        ({"input": [[5]] * (MAX_INPUTS + 1)}, "input", None),
        ({"input": [-1]}, "input[0]", None),
        ({"input": [True]}, "input[0]", None),
        ({"input": "a", "model": ""}, "model", None),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format", None),
        ({"input": "a", "dimensions": 0}, "dimensions", None),
        ({"input": "a", "dimensions": "8"}, "dimensions", None),
        ({"input": "a", "user": 3}, "user", None),
        ({"input": "a", "truncate": True}, "truncate", "unknown_parameter"),
    ],
)
def test_refused(body, param, code):
    error = refusal(**body)
    assert (error.param, error.code) == (param, code)


@given(st.lists(st.lists(st.floats(width=32, allow_nan=False), min_size=1), min_size=1))
def test_both_encodings_hold_the_same_numbers(vectors):
    plain = embedding_body("m", vectors, "float", 7)
    packed = embedding_body("m", vectors, "base64", 7)
    assert [entry["index"] for entry in plain["data"]] == list(range(len(vectors)))
    for entry, vector in zip(packed["data"], vectors, strict=True):
        raw = base64.b64decode(entry.pop("embedding"))
        assert list(struct.unpack(f"<{len(vector)}f", raw)) == vector
    assert [entry.pop("embedding") for entry in plain["data"]] == vectors
    assert plain == packed
    assert plain["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
