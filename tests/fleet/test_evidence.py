"""Rules of evidence: the language, the verdict, the keys, and edits that keep all else."""

from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.evidence.edit import EditError, as_yaml, with_results
from fleet.evidence.judge import newest, unmet
from fleet.evidence.results import Evaluation
from fleet.evidence.rule import RuleError, comparisons, is_benchmark, parse_rule
from fleet.load import parse_fleet
from fleet.schema import Fleet
from tests.fleet.files import SOUND, changed, fault, line_with, parse

DAY = date(2026, 5, 6)


def result(benchmark="humaneval", base=0.87, adapter=0.853, day=DAY, **more) -> Evaluation:
    facts = {"benchmark": benchmark, "base": base, "adapter": adapter, "date": day}
    return Evaluation.model_validate(facts | {"source": "report.md"} | more)


def found(
    rule: str,
    *results: Evaluation,
    today: date | None = None,
    served: str | None = None,
    **evidence,
) -> str | None:
    """What an adapter with these results lacks, in words."""
    adapter = {"base": "b", "source": "s", "evaluation": results, "serve_if": rule}
    bases = {"b": {"engine": "openai", "url": "http://b", "model": "m"}}
    fleet = {"version": 1, "bases": bases, "adapters": {"a": adapter}, "evidence": evidence}
    model = Fleet.model_validate(fleet)
    lacks = unmet(model, model.adapters["a"], today, served)
    assert lacks is None or lacks.rule == rule
    return lacks and lacks.found


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("humaneval >= base", "humaneval 0.853 < base 0.870"),
        ("humaneval > base - 0.017", "humaneval 0.853 <= base - 0.017 = 0.853"),
        ("humaneval >= base - 0.017", None),
        ("humaneval>=base-0.5", None),
        ("humaneval >= base + 0.01", "humaneval 0.853 < base + 0.01 = 0.880"),
        ("humaneval >= 0.9", "humaneval 0.853 < 0.900"),
        ("humaneval >= 0.85", None),
        ("humaneval > -1", None),
        ("humaneval <= base and humaneval >= 0", None),
        ("loss <= base", None),
        ("loss < 0.5", "loss 1.500 >= 0.500"),
        ("mmlu >= base", "mmlu: no result"),
        ("mmlu >= base or loss < base", None),
        ("mmlu >= base or humaneval >= base", "mmlu: no result; humaneval 0.853 < base 0.870"),
        ("loss < base and mmlu >= base or humaneval >= base - 1", None),
        ("loss < base and (mmlu >= base or humaneval >= base)", "mmlu: no result; "),
        ("'human+eval' >= base or \"loss\" < base", None),
        ("always", None),
        ("(((always)))", None),
        ("mmlu > base or always", None),
    ],
)
def test_verdict(rule, words):
    seen = found(rule, result(), result("loss", 2.0, 1.5, higher_is_better=False))
    assert seen == words if words is None or not words.endswith("; ") else seen.startswith(words)


ONE, OTHER = "1" * 64, "2" * 64
OF_ANOTHER = (
    "humaneval: the result of 2026-05-06 is of another version (222222222222, served is "
    "111111111111)"
)


@pytest.mark.parametrize(
    ("measured", "served", "words"),
    [
        (ONE, ONE, None),
        (OTHER, ONE, OF_ANOTHER),
        (OTHER, None, None),
        (None, ONE, None),
        (None, None, None),
    ],
)
def test_a_result_holds_for_the_version_that_was_measured(measured, served, words):
    of = result(adapter=0.9, digest=measured)
    assert found("humaneval >= base", of, served=served) == words
    assert found("humaneval >= base or always", of, served=served) is None


def test_what_is_of_another_version_hides_no_other_result():
    older = result(adapter=0.8, day=date(2026, 5, 1))
    newer = result(adapter=0.9, digest=OTHER)
    assert found("humaneval >= base", older, newer) is None
    for count, served in (((older, newer), ONE), ((newer, older), ONE)):
        assert found("humaneval >= base", *count, served=served) == "humaneval 0.800 < base 0.870"
    assert found("humaneval >= base", older, newer, served=OTHER) is None
    assert newer.is_of(ONE) is False
    assert (newer.is_of(OTHER), newer.is_of(None), older.is_of(ONE)) == (True, None, None)


@pytest.mark.parametrize("digest", ["1" * 63, "1" * 65, "A" * 64, "g" * 64, "", "1" * 64 + "\n", 7])
def test_a_digest_is_a_whole_sha_256(digest):
    with pytest.raises(ValueError, match=r"64 lower-case|valid string"):
        result(digest=digest)


def test_numbers_are_those_that_are_written():
    assert 0.1 + 0.2 > 0.3  # what floats would say
    assert found("x >= base + 0.2", result("x", 0.1, 0.3)) is None


def test_close_numbers_can_be_told_apart():
    assert found("x >= base", result("x", 0.87001, 0.87)) == "x 0.87 < base 0.87001"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("", "the rule ends (column 1)"),
        ("humaneval", "'>=', '>', '<=' or '<'"),
        ("humaneval >=", "'base' or a number expected where the rule ends"),
        ("humaneval >= base +", "a number expected"),
        ("humaneval >= mmlu", "'base' or a number expected where 'mmlu' stands (column 14)"),
        ("base <= humaneval", "the name of a benchmark expected where 'base' stands"),
        ("humaneval = 3", "'=' means nothing here (column 11)"),
        ("humaneval+ >= base", "in quotes"),
        ("(humaneval > 1", "')' expected"),
        ("humaneval > 1 mmlu > 2", "'and', 'or' or the end"),
        ("humaneval > 1 and", "the name of a benchmark"),
        ("__import__('os')", "'>='"),
        ("x > 1e999999999", "'e999999999' stands"),
        ("(" * 30 + "x > 1" + ")" * 30, "use fewer"),
        ("x > 1 and " * 60, "at most 500"),
    ],
)
def test_what_is_no_rule(rule, words):
    with pytest.raises(RuleError) as caught:
        parse_rule(rule)
    assert words in str(caught.value)


PIECES = ["humaneval", "'a b'", "base", "and", "or", "(", ")", ">=", "<", "0.5", "3", "+", "-", " "]


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map(" ".join)))
def test_every_text_is_a_rule_or_refused(text):
    try:
        rule = parse_rule(text)
    except RuleError:
        return
    assert all(is_benchmark(each.benchmark) for each in comparisons(rule))
    words = found(text, result())
    assert words is None or words


RULES = st.recursive(
    st.tuples(st.sampled_from("abc"), st.sampled_from([">=", ">", "<=", "<"]), st.integers(0, 3)),
    lambda rules: st.tuples(rules, st.sampled_from(["and", "or"]), rules),
    max_leaves=6,
)


@given(RULES, st.fixed_dictionaries({name: st.integers(0, 3) for name in "abc"}))
def test_rules_mean_what_python_would_make_of_them(rule, values):
    def text(part) -> str:
        left, word, right = part
        return (
            f"{left} {word} {right}"
            if isinstance(left, str)
            else (f"({text(left)}) {word} ({text(right)})")
        )

    results = [result(name, 0.0, float(value)) for name, value in values.items()]
    assert (found(text(rule), *results) is None) is eval(text(rule), {}, values)


def test_the_newest_result_counts_and_of_one_day_the_last():
    fleet = Fleet.model_validate(
        {
            "version": 1,
            "bases": {"b": {"model": "m"}},
            "adapters": {
                "a": {
                    "base": "b",
                    "source": "s",
                    "evaluation": (
                        result(adapter=0.1),
                        result(adapter=0.2),
                        result(adapter=0.3, day=date(2025, 1, 1)),
                    ),
                }
            },
        }
    )
    chosen = newest(fleet.adapters["a"], "humaneval")
    assert chosen is not None
    assert chosen.adapter == 0.2


@pytest.mark.parametrize(
    ("today", "words"),
    [
        (None, None),
        (date(2026, 5, 16), None),
        (date(2026, 5, 17), "humaneval: the result of 2026-05-06 is older than 10 days"),
    ],
)
def test_old_results_count_as_none(today, words):
    assert found("humaneval > 0.8", result(), today=today, max_age_days=10) == words


EVALUATION = "{benchmark: humaneval, base: 0.87, adapter: 0.853, date: 2026-05-06, source: x}"


def with_keys(keys: str) -> str:
    return changed("{base: apertus, source: power-lora}", f"{{base: apertus, source: p, {keys}}}")


def test_the_fleets_rule_is_for_those_without_their_own():
    own = with_keys(f"evaluation: [{EVALUATION}], serve_if: humaneval >= base - 0.1")
    fleet = parse(own + 'evidence: {serve_if: "humaneval >= base"}\n')
    assert unmet(fleet, fleet.adapters["power"]) is None
    lacks = unmet(fleet, fleet.adapters["python"])
    assert lacks is not None
    assert (lacks.rule, lacks.found) == ("humaneval >= base", "humaneval: no result")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("serve_if: humaneval =>", "adapters.power.serve_if: '=' means nothing"),
        ("serve_if: 3", "valid string"),
        ("evaluation: {benchmark: x}", "a list of results"),
        ("evaluation:", "a list of results"),
        (f"evaluation: [{EVALUATION.replace('source: x', 'sorce: x')}]", "did you mean 'source'"),
        (f"evaluation: [{EVALUATION.replace(', source: x', '')}]", "'adapters.power.evaluation.0."),
        (f"evaluation: [{EVALUATION.replace('0.87', '87 %')}]", "evaluation.0.base"),
        (f"evaluation: [{EVALUATION.replace('0.87', '.nan')}]", "finite"),
        (f"evaluation: [{EVALUATION.replace('0.87', 'true')}]", "number"),
        (f"evaluation: [{EVALUATION.replace('2026-05-06', '20260506')}]", "such as 2026-05-06"),
        (f"evaluation: [{EVALUATION.replace('humaneval', 'base')}]", "no name of a benchmark"),
        (f"evaluation: [{EVALUATION[:-1]}, n: 0}}]", "greater than or equal to 1"),
        (
            f"evaluation: [{EVALUATION}], serve_if: humaneval < base",
            "asks for a worse result than the base's: of humaneval, higher is better",
        ),
    ],
)
def test_broken_keys_are_named_with_their_line(keys, words):
    text = with_keys(keys)
    error = fault(text)
    assert words in error.message
    assert error.line == line_with(text, "power:")


def test_a_wrong_default_rule_is_named():
    text = SOUND + "evidence:\n  serve_if: humaneval >=\n"
    error = fault(text)
    assert error.line == line_with(text, "serve_if")
    assert "evidence.serve_if: 'base' or a number expected" in error.message


def test_hints_know_an_adapter_called_as_a_key():
    text = changed("power:", "evaluation:").replace("source: power-lora", "sorce: power-lora")
    assert "did you mean 'source'" in fault(text).message


LAYOUTS = {
    "flow": "  power: {base: b, source: s}  # ours\n",
    "flow with a comma": "  power: {base: b, source: s, }\n",
    "flow on lines": "  power: {\n    base: b,  # the base\n    source: s,  # where\n  }\n",
    "flow, none yet": "  power: {base: b, source: s, evaluation: []}\n",
    "flow in flow": "  power: {base: b, evaluation: [%s], source: s}\n",
    "flow list on lines": "  power: {base: b, source: s, evaluation: [\n    %s,  # first\n    ]}\n",
    "block": "  power:\n    # before\n    base: b\n\n    source: s  # where\n    # after\n",
    "block, deep": "  power:\n         base: b\n         source: s\n",
    "block, quoted": "  'power':\n    base: \"b\"\n    source: 's'   \n",
    "block, folded": "  power:\n    base: b\n    source: s\n    reason: |\n      a\n      b\n",
    "block, anchor": "  power: &it\n    base: &b b\n    source: s\n    evaluation: &e [ ]\n",
    "block, anchor and no list": "  power: &it\n    base: b\n    source: &s s\n",
    "block, one line": "  power:\n    base: b\n    source: s\n    evaluation: [%s]  # one\n",
    "block list": "  power:\n    base: b\n    evaluation:\n      # a\n      - %s  # b\n"
    "    source: s\n",
    "block list at the key": "  power:\n    base: b\n    evaluation:\n    - %s\n    source: s\n",
    "block item": "  power:\n    base: b\n    source: s\n    evaluation:\n      - benchmark: old\n"
    "        base: 1\n        adapter: 2  # two\n        date: 2026-01-01\n        source: x\n",
}
HEAD = (
    "# The fleet: comments, 'quotes' & ünïcode\nversion: 1\nbases: {b: {engine: openai, url: "
    "'http://b', model: m}}\n\nadapters:  # all\n"
)
TAILS = ["", "  other: {base: b, source: o}\n# the end\n", "\n\n\naliases: {gpt: ailiance}\n"]


def edited(text: str, *results: Evaluation) -> str:
    """The text with results, checked: it loads, nothing else changed, no comment is lost."""
    before = parse_fleet(text, Path("adapters.yaml"))
    edit = with_results(text, "power", before.adapters["power"].evaluation, results)
    after = parse_fleet(edit.text, Path("adapters.yaml"))
    assert after.adapters["power"].evaluation == edit.evaluation
    assert set(results) <= set(edit.evaluation)
    blank = {"power": after.adapters["power"].model_copy(update={"evaluation": ()})}
    stripped = before.adapters["power"].model_copy(update={"evaluation": ()})
    assert after.model_copy(update={"adapters": after.adapters | blank}) == before.model_copy(
        update={"adapters": before.adapters | {"power": stripped}}
    )
    return edit.text


def is_subsequence(part: str, whole: str) -> bool:
    rest = iter(whole)
    return all(letter in rest for letter in part)


results_of_all_kinds = st.builds(
    result,
    st.sampled_from(["mmlu", "humaneval+", "a.b-c", "null_", "_x"]),
    st.floats(-1e20, 1e20, allow_subnormal=False),
    st.floats(0, 1),
    st.dates(),
    source=st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"]), min_size=1),
    n=st.none() | st.integers(1, 10**9),
    higher_is_better=st.booleans(),
    digest=st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        results_of_all_kinds, min_size=1, max_size=3, unique_by=lambda r: (r.benchmark, r.source)
    ),
    st.sampled_from(TAILS),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_results_are_added_and_nothing_else_changes(layout, results, tail, newline, ends):
    old = result("old", 1.0, 2.0)
    text = HEAD + LAYOUTS[layout].replace("%s", as_yaml(old)) + tail
    text = (text if ends else text.rstrip("\n")).replace("\n", newline)
    made = edited(text, *results)
    assert is_subsequence(text, made)
    if newline == "\r\n":
        assert "\n" not in made.replace("\r\n", "")


@given(results_of_all_kinds)
def test_a_result_survives_its_yaml(each):
    assert Evaluation.model_validate(yaml.safe_load(as_yaml(each))) == each


@pytest.mark.parametrize("layout", ["flow", "flow in flow", "block", "block list"])
def test_a_second_measurement_takes_the_place_of_the_first(layout):
    text = HEAD + LAYOUTS[layout].replace("%s", as_yaml(result("old", 1.0, 2.0)))
    first = edited(text, result("a", 0.1, 0.2), result("b", 0.1, 0.2))
    second = edited(first, result("a", 0.1, 0.7))
    assert second == first.replace(as_yaml(result("a", 0.1, 0.2)), as_yaml(result("a", 0.1, 0.7)))
    other = edited(second, result("a", 0.1, 0.9, source="elsewhere"))
    assert as_yaml(result("a", 0.1, 0.7)) in other


@pytest.mark.parametrize(
    "adapters",
    [
        "  one: &it {base: b, source: s}\n  power: *it\n",
        "  one: {base: b, source: s, evaluation: &it []}\n"
        "  power: {base: b, source: s, evaluation: *it}\n",
        "  other: {base: b, source: s}\n",
    ],
)
def test_what_stands_elsewhere_is_not_edited(adapters):
    with pytest.raises(EditError):
        with_results(HEAD + adapters, "power", (), [result()])


def test_the_layout_it_makes():
    assert edited(HEAD + LAYOUTS["flow"], result(n=164)) == HEAD + (
        "  power: {base: b, source: s,\n    evaluation: [\n"
        "      {benchmark: humaneval, base: 0.87, adapter: 0.853, date: 2026-05-06, "
        "source: report.md, n: 164}]}  # ours\n"
    )
    assert edited(HEAD + LAYOUTS["block"], result("loss", higher_is_better=False)) == HEAD + (
        "  power:\n    # before\n    base: b\n\n    source: s  # where\n"
        "    evaluation:\n      - {benchmark: loss, base: 0.87, adapter: 0.853, date: 2026-05-06, "
        "source: report.md, higher_is_better: false}\n    # after\n"
    )
