"""PEFT's rank_pattern and alpha_pattern, against PEFT's own rule."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.lora.formats.patterns import Patterns

WORDS = st.sampled_from(["model", "layers", "0", "1", "10", "self_attn", "q_proj", "k_proj", "mlp"])
MODULES = st.lists(WORDS, min_size=1, max_size=5).map(".".join)
PATTERNS = st.one_of(
    MODULES,
    MODULES.map(re.escape),
    MODULES.map(lambda m: "^" + m),
    MODULES.map(lambda m: r".*\." + m),
    st.sampled_from(["[qk]_proj", "(q|k)_proj", r"layers\.\d\..*", "1?0", "proj", "q_pro."]),
)


def peft_rule(patterns: dict[str, float], module: str, otherwise: float) -> float:
    """What PEFT 0.21 takes: get_pattern_key, said once more."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return otherwise


@given(st.dictionaries(PATTERNS, st.floats(1, 9), max_size=4), MODULES)
def test_is_pefts_rule(patterns: dict[str, float], module: str) -> None:
    found = Patterns(patterns).find(module, 0.0)
    assert found[0] == peft_rule(patterns, module, 0.0)
    # whatever the order was before PEFT sorted them
    assert peft_rule(dict(reversed(patterns.items())), module, 0.0) in found


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("q_proj", True),
        ("self_attn.q_proj", True),
        ("attn.q_proj", False),  # not after a dot
        ("q_pro", False),
        ("layers.0.self_attn.q_proj", True),
        ("^layers.0.self_attn.q_proj", False),  # the name starts with 'model.'
        ("^model.layers.0.self_attn.q_proj", True),
        ("layers.1.self_attn.q_proj", False),
    ],
)
def test_examples(pattern: str, fits: bool) -> None:
    found = Patterns({pattern: 7.0}).find("model.layers.0.self_attn.q_proj", 1.0)
    assert found == (7.0 if fits else 1.0,)


def test_all_that_fit_are_told() -> None:
    patterns = Patterns({"q_proj": 3.0, "self_attn.q_proj": 4.0, ".*": 3.0, "k_proj": 9.0})
    assert patterns.find("self_attn.q_proj", 1.0) == (3.0, 4.0)


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "(.*)*x", "(a|a){9}b", ".*.*.*.*x", "a" * 301, r"(\w+\.)*x", "x{9}{9}{9}{9}"],
)
def test_patterns_whose_time_explodes_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="too complex; name the layers"):
        Patterns({pattern: 1.0})


@pytest.mark.parametrize("pattern", ["(", "[", "*", "(?P<x", "a\\", ""])
def test_what_is_no_expression_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"no regular expression|empty"):
        Patterns({pattern: 1.0})


@given(st.text(max_size=40))
def test_any_text_is_taken_or_refused(pattern: str) -> None:
    said = ""
    try:
        Patterns({pattern: 1.0}).find("model.layers.0.self_attn.q_proj", 2.0)
    except ValueError as error:
        said = str(error)
    assert said.isprintable()
