"""Which fleet file is meant."""

from pathlib import Path

import fleet.find
from fleet.find import FILE, embedded_fleet, find_fleet
from fleet.load import load_fleet, parse_fleet


def test_the_named_file_wins_even_if_it_is_not_there(tmp_path):
    (tmp_path / FILE).touch()
    assert find_fleet(Path("other.yaml"), tmp_path) == Path("other.yaml")


def test_the_file_here_comes_next(tmp_path):
    (tmp_path / FILE).touch()
    assert find_fleet(None, tmp_path) == tmp_path / FILE


def test_a_folder_of_that_name_is_no_file(tmp_path):
    (tmp_path / FILE).mkdir()
    assert find_fleet(None, tmp_path) == embedded_fleet()


def test_else_the_embedded_one_which_exists(tmp_path):
    found = find_fleet(None, tmp_path)
    assert found == embedded_fleet()
    assert found.is_file()


def wheel(tmp_path, monkeypatch) -> Path:
    """An installed wheel: packages side by side, the fleet file inside ``demo``."""
    for folder in ("demo/model", "demo"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    file = tmp_path / "demo" / FILE
    file.write_text("version: 1\nbases:\n  a: {model: demo/model}\n")
    monkeypatch.setattr(fleet.find, "HOME", tmp_path)
    monkeypatch.setattr("fleet.load.HOME", tmp_path)
    return file


def test_in_a_wheel_the_file_is_in_demo_and_its_paths_start_beside_the_packages(
    tmp_path, monkeypatch
):
    file = wheel(tmp_path, monkeypatch)
    assert embedded_fleet() == file
    loaded = load_fleet(file)
    assert loaded.resolve("demo/model") == tmp_path / "demo/model"


def test_the_wheels_file_is_the_repositorys_file():
    """pyproject puts adapters.yaml into demo/: both must be one text, with the same paths."""
    root = Path(__file__).resolve().parents[2]
    assert '"adapters.yaml" = "demo/adapters.yaml"' in (root / "pyproject.toml").read_text()
    fleet_ = parse_fleet((root / FILE).read_text(), root / FILE)
    for base in fleet_.bases.values():
        assert base.model.startswith("demo/")
    for adapter in fleet_.adapters.values():
        assert adapter.source.startswith("demo/")
