"""Public names: every form of them, what it stands for, and who may not share one."""

import pytest

from fleet.names import Auto, Explicit, Names
from fleet.schema import Fleet
from tests.fleet.files import SOUND, parse


def fleet(**changes) -> Fleet:
    return Fleet.model_validate(parse(SOUND).model_dump() | changes)


NAMES = Names(fleet(aliases={"gpt-4o": "ai", "amp": "ai-apertus-power", "amp2": "amp"}))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("ai", Auto(None)),
        ("ai-apertus", Explicit("apertus", None)),
        ("ai-devstral", Explicit("devstral", None)),
        ("ai-apertus-auto", Auto("apertus")),
        ("ai-apertus-power", Explicit("apertus", "power")),
        ("ai-devstral-python", Explicit("devstral", "python")),
        ("gpt-4o", Auto(None)),
        ("amp", Explicit("apertus", "power")),
        ("amp2", Explicit("apertus", "power")),
        # SGLang's form, with the base's short or public name
        ("apertus:power", Explicit("apertus", "power")),
        ("ai-apertus:power", Explicit("apertus", "power")),
        # what nothing is served as
        ("", None),
        ("AI", None),
        ("apertus", None),
        ("power", Explicit("apertus", "power")),
        ("ai-power", None),
        ("ai-apertus-python", None),
        ("ai-law", None),
        ("ai-apertus-power-auto", None),
        ("devstral:power", None),
        ("apertus:", None),
        (":power", None),
        ("apertus:auto", None),
        ("apertus:power:power", None),
        ("law:power", None),
        ("gpt-4o:power", None),
    ],
)
def test_what_a_name_stands_for(name, target):
    assert NAMES.target(name) == target


def test_the_list_is_in_file_order_and_has_no_base_colon_adapter():
    assert [name for name, _ in NAMES.items()] == [
        *("ai", "ai-apertus", "ai-apertus-auto", "ai-devstral", "ai-devstral-auto"),
        *("ai-apertus-power", "ai-devstral-python", "gpt-4o", "amp", "amp2"),
    ]


def test_public_is_the_other_direction():
    for name, target in NAMES.items():
        if isinstance(target, Explicit) and name.startswith("ai-"):
            assert NAMES.public(target.base, target.adapter) == name


def test_an_alias_may_stand_for_base_colon_adapter():
    names = Names(fleet(aliases={"x": "apertus:power"}))
    assert names.target("x") == Explicit("apertus", "power")
    assert names.clashes() == []


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"aliases": {"ai": "ai-apertus"}}, ("aliases", "ai"), "prefix"),
        ({"aliases": {"ai-apertus": "ai"}}, ("aliases", "ai-apertus"), "bases.apertus"),
        ({"aliases": {"x": "y"}}, ("aliases", "x"), "nothing is served as"),
        ({"aliases": {"x": "x"}}, ("aliases", "x"), "nothing is served as"),
        # an alias stands for an earlier one, never for a later one
        ({"aliases": {"x": "y", "y": "ai"}}, ("aliases", "x"), "nothing is served as"),
        (
            {"adapters": {"auto": {"base": "apertus", "source": "s"}}},
            ("adapters", "auto"),
            "'ai-apertus-auto'",
        ),
    ],
)
def test_a_clash_says_where_it_stands(changes, path, words):
    (clash,) = Names(fleet(**changes)).clashes()
    assert clash.path == path
    assert words in clash.message


def test_two_derived_names_may_collide_across_bases():
    """Base ``a`` with adapter ``b-c`` and base ``a-b`` with adapter ``c``."""
    names = Names(
        Fleet.model_validate(
            {
                "version": 1,
                "bases": {"a": {"model": "m"}, "a-b": {"model": "m"}},
                "adapters": {
                    "b-c": {"base": "a", "source": "s"},
                    "c": {"base": "a-b", "source": "s"},
                },
            }
        )
    )
    (clash,) = names.clashes()
    assert clash.path == ("adapters", "c")
    assert "adapters.c and adapters.b-c are both served as 'ailiance-a-b-c'" in clash.message


def test_the_first_of_two_keeps_the_name():
    names = Names(fleet(aliases={"ai": "ai-apertus"}))
    assert names.target("ai") == Auto(None)
