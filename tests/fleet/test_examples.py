"""The files under examples/ are sound, and pin what they fetch."""

from pathlib import Path

import pytest

from fleet.load import load_fleet
from fleet.names import Names
from fleet.schema import is_hub_id

FOLDER = Path(__file__).resolve().parents[2] / "examples"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_there_are_the_three_that_the_docs_name():
    assert [file.stem for file in FILES] == ["apertus-70b", "devstral", "vllm"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_example_loads_and_its_domains_have_exemplars(file):
    fleet = load_fleet(file)
    assert fleet.adapters
    for domain in fleet.domains.values():
        assert fleet.resolve(domain.examples).is_file()
    for adapter in fleet.adapters.values():
        assert adapter.domain in fleet.domains


@pytest.mark.parametrize(
    ("stem", "sources"),
    [
        (
            "apertus-70b",
            {
                "swiss-ai/Apertus-70B-Instruct-2509",
                "Ailiance-fr/apertus-electronics-hw-lora",
            },
        ),
        (
            "devstral",
            {
                "mistralai/Devstral-Small-2-24B-Instruct-2512",
                "clemsail/eu-kiki-devstral-python-lora",
                "Ailiance-fr/devstral-cpp-lora",
            },
        ),
    ],
)
def test_what_comes_from_the_hub_states_its_revision(stem, sources):
    fleet = load_fleet(FOLDER / f"{stem}.yaml")
    found = [base.model for base in fleet.bases.values()]
    found += [adapter.source for adapter in fleet.adapters.values()]
    assert all(is_hub_id(source) for source in found)
    assert {source.partition("@")[0] for source in found} == sources


def test_the_vllm_example_starts_no_worker():
    fleet = load_fleet(FOLDER / "vllm.yaml")
    assert {base.engine for base in fleet.bases.values()} == {"openai"}
    assert Names(fleet).target("ailiance-apertus-electronics") is not None
