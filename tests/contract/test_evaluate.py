"""``ailiance eval`` as a user runs it, on records whose answers only the adapter knows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fleet.load import load_fleet
from gateway.supervisor import worker_env
from tests.contract.processes import EMBEDDED, HOME

CORPUS = HOME / "demo" / "corpus" / "electronics.jsonl"
FEW = 12


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "gateway", "eval", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=worker_env(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    file = tmp_path_factory.mktemp("records") / "electronics-few.jsonl"
    lines = CORPUS.read_text("utf-8").splitlines()[:FEW]
    file.write_text("\n".join(lines), "utf-8")
    return file


@pytest.fixture
def fleet(tmp_path):
    """The embedded fleet file, comments and all, in a folder of its own."""
    for folder in ("demo", "router"):
        (tmp_path / folder).symlink_to(HOME / folder)
    file = tmp_path / "adapters.yaml"
    file.write_text((HOME / "adapters.yaml").read_text("utf-8"), "utf-8")
    return file


def test_an_adapter_beats_its_base_and_the_file_says_so(url, records, fleet):
    before = fleet.read_text("utf-8")
    asked = ("--adapter", "electronics", "--url", url, "--config", str(fleet), "--json", "--write")
    done = run(fleet.parent, str(records), *asked, "--concurrency", "4")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["n"] == FEW
    assert told["adapter"]["model"] == "ailiance-apertus-electronics"
    assert len(told["adapter"]["digest"]) == len(told["base"]["digest"]) == 64
    exact, perplexity = told["measures"]["exact_match"], told["measures"]["perplexity"]
    assert (exact["base"], exact["better"]) == (0, "adapter")
    assert exact["adapter"] > 0.8
    assert perplexity["better"] == "adapter"
    assert perplexity["adapter"] < 2
    assert perplexity["base"] > 20

    earlier = EMBEDDED["adapters"]["electronics"]["evaluation"]
    results = load_fleet(fleet).adapters["electronics"].evaluation[len(earlier) :]
    named = {each.benchmark: each for each in results}
    assert list(named) == ["electronics_few", "electronics_few_perplexity"]
    assert named["electronics_few"].adapter == pytest.approx(exact["adapter"], abs=1e-4)
    assert {(each.n, each.source) for each in results} == {(FEW, records.name)}
    assert {each.digest for each in results} == {told["adapter"]["digest"]}
    after = fleet.read_text("utf-8")
    assert [line for line in before.splitlines() if line.startswith("#")] == [
        line for line in after.splitlines() if line.startswith("#")
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--adapter", "nope"], "adapter 'nope' is not served: ailiance-apertus-electronics"),
        (["--adapter", "python", "--base", "apertus"], "adapter 'python' is not served"),
        (["--adapter", "ailiance-apertus-auto"], "is not served"),
        (["--adapter", "electronics", "--prompt-key", "x"], "jsonl:1: no 'x'"),
    ],
)
def test_faults_are_one_line(url, records, tmp_path, arguments, words):
    done = run(tmp_path, str(records), "--url", url, *arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_gateway_of_its_own(records, tmp_path):
    """One base, which it starts and ends; the table for people."""
    base, adapter = EMBEDDED["bases"]["devstral"], EMBEDDED["adapters"]["python"]
    fleet = {
        "version": 1,
        "bases": {"devstral": base | {"model": str(HOME / base["model"])}},
        "adapters": {
            "python": {"base": "devstral", "source": str(HOME / adapter["source"])},
        },
    }
    (tmp_path / "adapters.yaml").write_text(yaml.safe_dump(fleet), "utf-8")
    done = run(tmp_path, str(records), "--adapter", "python", "--limit", "2")
    assert done.returncode == 0, done.stderr
    head, _, exact, perplexity = done.stdout.splitlines()
    assert head.startswith("electronics-few.jsonl: 2 records, ailiance-devstral-python (")
    assert exact.split()[:2] == ["exact", "match"]
    assert perplexity.startswith("perplexity")
    assert done.stderr == ""


def test_a_gateway_that_cannot_start_says_why(records, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "adapters.yaml").write_text("version: 1\nbases: {b: {model: model}}\n", "utf-8")
    done = run(tmp_path, str(records), "--adapter", "x")
    assert done.returncode == 1
    assert done.stderr.startswith("ailiance: ")
    assert len(done.stderr.splitlines()) == 1
