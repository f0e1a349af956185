"""A domain of one's own: data only, eight examples, usable at once."""

from pathlib import Path

import pytest
import yaml

from fleet.load import parse_fleet
from fleet.schema import Domain, Fleet
from router import Router
from router.decision import GENERAL
from router.errors import RouterError
from router.learning import fit
from router.learning.claims import settle
from router.learning.exemplars import Exemplar, read_folder
from router.learning.extraction import remembering
from router.learning.material import SHIPPED, Material, of_fleet
from router.learning.samples import own_words, sample_all

ROOT = Path(__file__).resolve().parents[3]
NEWCOMERS = yaml.safe_load((ROOT / "tests/router/data/newcomers.yaml").read_text())["newcomers"]


def fleet_with(domains: dict[str, dict], folder: Path = ROOT) -> Fleet:
    shipped = yaml.safe_load((ROOT / "adapters.yaml").read_text())["domains"]
    file = {
        "version": 1,
        "bases": {"b": {"engine": "openai", "url": "http://127.0.0.1:1", "model": "m"}},
        "domains": shipped | domains,
    }
    return parse_fleet(yaml.safe_dump(file), folder / "adapters.yaml")


def entry(name: str) -> dict:
    return {key: NEWCOMERS[name][key] for key in ("description", "examples")}


def quiet(_what: str, _part: float) -> None:
    pass


@pytest.fixture(scope="module")
def grown() -> Router:
    """The shipped domains and three newcomers, of eight examples each."""
    names = ("cooking", "devops", "accounting")
    fitted = fit.fit(of_fleet(fleet_with({name: entry(name) for name in names})), quiet)
    assert any("'cooking' takes over what ships about: cooking" in note for note in fitted.notes)
    return Router(fitted.weights)


@pytest.mark.parametrize("name", ["cooking", "devops", "accounting"])
def test_eight_examples_make_a_usable_domain(grown: Router, name: str) -> None:
    prompts = NEWCOMERS[name]["prompts"]
    found = [grown.classify([("user", prompt)]).domain for prompt in prompts]
    assert found.count(name) >= 0.5 * len(prompts)
    own = [grown.classify([("user", text)]).domain for text in NEWCOMERS[name]["examples"]]
    assert own.count(name) >= 7


def test_the_other_domains_hardly_notice(grown: Router) -> None:
    dev = [e for e in read_folder(ROOT / "router" / "dev") if e.label != GENERAL]
    found = [grown.classify([("user", e.text)]).domain for e in dev]
    assert sum(f == e.label for f, e in zip(found, dev, strict=True)) >= 0.90 * len(dev)
    assert sum(f in NEWCOMERS for f in found) <= 0.03 * len(dev)


def test_the_embedded_fleet_learns_what_ships() -> None:
    material = of_fleet(fleet_with({}))
    assert material.own == ()
    assert len(material.exemplars) == len(read_folder(SHIPPED))
    assert material.follow_ups


def test_examples_are_a_file_a_list_or_what_ships(tmp_path: Path) -> None:
    (tmp_path / "law.yaml").write_text("examples: [" + ", ".join("abcdefgh") + "]\n")
    fleet = Fleet(
        version=1,
        bases={"b": {"model": "m"}},
        domains={
            "law": Domain(description="law", examples="law.yaml"),
            "food": Domain(description="food", examples=[f"dish {n}" for n in range(8)]),
            "emc": Domain(description="emc"),
        },
        folder=tmp_path,
    )
    material = of_fleet(fleet)
    count = [e.label for e in material.exemplars].count
    assert (count("law"), count("food")) == (8, 8)
    assert count("emc") >= 250
    assert material.own == ("law", "food")
    assert {e.label for e in material.exemplars} == {"law", "food", "emc", GENERAL}
    # what ships for domains that this fleet lacks is out of domain, as one theme each
    assert {"power", "kicad"} <= {e.theme for e in material.exemplars if e.label == GENERAL}
    assert {e.label for e in material.dev} == {"emc", GENERAL}


@pytest.mark.parametrize(
    ("domains", "said"),
    [
        ({"law": {"description": "l", "examples": ["a"] * 7}}, "7 examples; a domain needs at"),
        ({"law": {"description": "l"}}, "domains.law: no examples ship"),
        ({"general": {"description": "l", "examples": ["a"] * 8}}, "rename it"),
    ],
)
def test_what_cannot_be_learned_names_the_mend(domains: dict, said: str) -> None:
    with pytest.raises(RouterError) as caught:
        of_fleet(fleet_with(domains))
    assert said in str(caught.value)


def general(text: str, theme: str) -> Exemplar:
    return Exemplar(text, GENERAL, "en", theme)


def test_a_domain_takes_over_the_theme_that_it_resembles() -> None:
    food = [general(f"{dish} soup recipe with onions", "cooking") for dish in ("leek", "pea")]
    law = [general(f"{paper} contract clause", "law") for paper in ("lease", "work")]
    vague = [general("soup recipe please", "small-talk")]
    own = [Exemplar("a recipe for onion soup", "chef"), Exemplar("soup with peas recipe", "chef")]
    terms = [general("soup spoon", "cooking"), general("penalty clause", "law")]
    settled = settle([*food, *law, *vague, *own], terms, ["chef"], remembering())
    assert {e.label for e in settled.exemplars if e.theme == "cooking"} == {"chef"}
    assert {e.label for e in settled.exemplars if e.theme in ("law", "small-talk")} == {GENERAL}
    assert [t.label for t in settled.terms] == ["chef", GENERAL]
    assert settled.notes == ["domain 'chef' takes over what ships about: cooking"]


def test_without_own_domains_nothing_is_taken_over() -> None:
    prompts = [general("soup", "cooking")]
    assert settle(prompts, [], [], remembering()).exemplars == prompts


def test_words_of_a_small_class_are_its_own_unless_others_use_them() -> None:
    few = [Exemplar("catenary wire voltage", "rail")]
    others = [Exemplar("wire voltage drop", "power")] * 3
    assert [t.text for t in own_words(few, [*few, *others], [])] == ["catenary"]


def test_a_small_class_weighs_more() -> None:
    many = [Exemplar(f"word{n} topic", "power") for n in range(80)]
    many += [Exemplar(f"thing{n}", GENERAL) for n in range(80)]
    few = [Exemplar("catenary wire", "rail")]
    samples = sample_all([*many, *few], [], remembering())
    weight = {
        label: max(s.importance for s in samples if s.exemplar.label == label)
        for label in ("rail", "power")
    }
    assert weight["rail"] >= 10 * weight["power"]


def test_material_is_data_only() -> None:
    assert Material([], [], []).own == ()
