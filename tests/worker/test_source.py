"""Where files come from: local folders, a stand-in of the hub, its cache."""

from pathlib import Path

import mlx.core as mx
import pytest

from fleet.errors import SourceError
from fleet.load import parse_fleet
from fleet.schema import Fleet
from tests.worker.hub import COMMIT, OTHER_COMMIT, Repository, ask, ask_on_a_terminal, hub_of
from tests.worker.lora.test_files import LAYERS, MLX_CONFIG, check_factors, mlx_tensors, write
from worker.lora.files import read_adapter
from worker.source import client_folder, local_folder

PINNED = f"org/tiny@{COMMIT}"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An adapter as people publish them: with a card, a pickle, code and checkpoints."""
    folder = write(tmp_path / "published", mlx_tensors(), MLX_CONFIG, "mlx")
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return Repository(
        files
        | {
            "README.md": b"# a card",
            "training_args.bin": b"a pickle",
            "modeling.py": b"raise SystemExit",
            "checkpoint-500/adapters.safetensors": b"x" * 999,
        }
    )


class TestHub:
    def test_only_what_is_opened_is_fetched(self, repository: Repository, tmp_path: Path) -> None:
        with hub_of(repository) as port:
            said = ask(port, tmp_path / "home", PINNED)
        assert set(repository.sent) == {"adapters.safetensors", "adapter_config.json", "README.md"}
        assert "WARNING" not in said.log
        (line,) = said.lines
        assert Path(line).name == COMMIT
        # the snapshot is links into the cache, which the reader follows
        check_factors(read_adapter("mine", Path(line), LAYERS), 2.0)

    def test_a_pinned_revision_comes_from_the_cache_without_a_network(
        self, repository: Repository, tmp_path: Path
    ) -> None:
        with hub_of(repository) as port:
            first = ask(port, tmp_path, PINNED)
        assert ask(port, tmp_path, PINNED).lines == first.lines
        assert ask(port, tmp_path, PINNED, HF_HUB_OFFLINE="1").lines == first.lines

    @pytest.mark.parametrize("revision", ["main", "v1"])
    def test_an_unpinned_revision_is_warned_of_with_its_commit(
        self, repository: Repository, tmp_path: Path, revision: str
    ) -> None:
        with hub_of(repository) as port:
            said = ask(port, tmp_path, f"org/tiny@{revision}")
        assert Path(said.lines[0]).name == COMMIT
        assert f"WARNING ailiance.source: mine: 'org/tiny@{revision}' is no pinned" in said.log
        assert f"pin it as '{PINNED}'" in said.log

    def test_an_unpinned_revision_follows_its_branch(
        self, repository: Repository, tmp_path: Path
    ) -> None:
        with hub_of(repository) as port:
            ask(port, tmp_path, "org/tiny@main")
            repository.refs["main"] = OTHER_COMMIT
            moved = ask(port, tmp_path, "org/tiny@main", PINNED)
        assert [Path(line).name for line in moved.lines] == [OTHER_COMMIT, COMMIT]

    @pytest.mark.parametrize("settings", [{}, {"HF_HUB_OFFLINE": "1"}], ids=["dead", "offline"])
    def test_an_unpinned_revision_without_a_network_is_the_cached_one_and_says_so(
        self, repository: Repository, tmp_path: Path, settings: dict[str, str]
    ) -> None:
        with hub_of(repository) as port:
            ask(port, tmp_path, "org/tiny@main")
        said = ask(port, tmp_path, "org/tiny@main", **settings)
        assert Path(said.lines[0]).name == COMMIT
        assert "the hub can't be asked what 'org/tiny@main' is now" in said.log
        assert "its cached snapshot is used" in said.log
        assert f"today it is commit {COMMIT}" in said.log

    def test_a_broken_connection_is_taken_up_where_it_broke(
        self, repository: Repository, tmp_path: Path
    ) -> None:
        weights = b"\0\1\2\3" * 6_250_000
        repository.files = {"adapters.safetensors": weights}
        repository.breaks_after = 12_000_000
        with hub_of(repository) as port:
            said = ask(port, tmp_path, PINNED)
        # huggingface_hub writes 10 MiB at a time
        assert repository.ranges == ["", "bytes=10485760-", "bytes=20971520-"]
        assert (Path(said.lines[0]) / "adapters.safetensors").read_bytes() == weights

    def test_after_a_failed_download_only_what_is_missing_is_fetched(
        self, repository: Repository, tmp_path: Path
    ) -> None:
        repository.files = {"config.json": b"{}", "model.safetensors": b"x" * 5000}
        repository.breaks_after = 1000
        with hub_of(repository) as port:
            broken = ask(port, tmp_path, PINNED)
            repository.breaks_after = None
            repository.sent.clear()
            whole = ask(port, tmp_path, PINNED)
        assert broken.lines[0].startswith("refused mine: can't fetch")
        assert repository.sent == ["model.safetensors"]
        assert {f.name for f in Path(whole.lines[0]).iterdir()} == set(repository.files)

    def test_half_a_download_is_never_served(self, repository: Repository, tmp_path: Path) -> None:
        with hub_of(repository) as port:
            folder = Path(ask(port, tmp_path, PINNED).lines[0])
        (folder / "adapters.safetensors").unlink()
        said = ask(port, tmp_path, PINNED, HF_HUB_OFFLINE="1")
        assert said.lines[0].startswith("refused mine: can't fetch")

    @pytest.mark.parametrize(
        ("source", "says"),
        [
            ("org/other@v1", "the hub has no repository 'org/other@v1' for you; correct"),
            ("org/tiny@v9", "the hub has no revision 'org/tiny@v9' for you; correct"),
            ("org/ti ny@v1", "can't fetch 'org/ti ny@v1'"),
        ],
    )
    def test_what_the_hub_lacks(
        self, repository: Repository, tmp_path: Path, source: str, says: str
    ) -> None:
        with hub_of(repository) as port:
            said = ask(port, tmp_path, source)
        assert len(said.lines) == 1, "one line"
        assert said.lines[0].startswith(f"refused mine: {says}")

    # the hub's client tries again for some ten seconds where a revision is pinned
    @pytest.mark.parametrize(
        "source", [pytest.param(PINNED, marks=pytest.mark.slow), "org/tiny@main"]
    )
    def test_without_a_network_and_a_cache(
        self, repository: Repository, tmp_path: Path, source: str
    ) -> None:
        with hub_of(repository) as port:
            pass
        for settings in ({}, {"HF_HUB_OFFLINE": "1"}):
            said = ask(port, tmp_path, source, **settings)
            assert len(said.lines) == 1, "one line"
            assert "the cache has not all of it" in said.lines[0]
            assert said.lines[0].endswith("or name a local folder")

    def test_a_bar_on_a_terminal(self, repository: Repository, tmp_path: Path) -> None:
        with hub_of(repository) as port:
            said = ask_on_a_terminal(port, tmp_path, PINNED)
        assert "100%" in said

    def test_no_bar_where_nobody_looks(self, repository: Repository, tmp_path: Path) -> None:
        with hub_of(repository) as port:
            said = ask(port, tmp_path, PINNED)
        assert "%" not in said.log


def fleet_in(folder: Path, extra: str = "") -> Fleet:
    (folder / "base").mkdir(parents=True)
    (folder / "adapters").mkdir()
    text = f"version: 1\nbases: {{one: {{model: base}}}}\n{extra}"
    return parse_fleet(text, folder / "adapters.yaml")


class TestLocal:
    def test_paths_of_the_file_start_at_its_folder(self, tmp_path: Path) -> None:
        fleet = fleet_in(tmp_path / "fleet")
        assert local_folder(fleet, "one", "base") == tmp_path / "fleet" / "base"

    def test_a_clients_path_is_confined_to_the_fleets_folder(self, tmp_path: Path) -> None:
        fleet = fleet_in(tmp_path / "fleet")
        inside = tmp_path / "fleet" / "adapters"
        assert client_folder(fleet, "x", "adapters") == inside
        assert client_folder(fleet, "x", str(inside)) == inside
        for source in ("..", "../..", "/etc", str(tmp_path), "adapters/../../x"):
            with pytest.raises(SourceError, match="x: the path is outside"):
                client_folder(fleet, "x", source)

    def test_lora_roots_replace_it(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        fleet = fleet_in(tmp_path / "fleet", "lora_roots: [../store]\n")
        assert client_folder(fleet, "x", "a") == tmp_path / "store" / "a"
        with pytest.raises(SourceError, match="outside"):
            client_folder(fleet, "x", str(tmp_path / "fleet" / "adapters"))


def test_read_adapter_reads_what_mlx_saved(tmp_path: Path) -> None:
    """The helper above, so that a change of its shape shows here first."""
    folder = write(tmp_path, {k: v * 1 for k, v in mlx_tensors().items()}, MLX_CONFIG, "mlx")
    assert mx.isfinite(read_adapter("mine", folder, LAYERS).factors[next(iter(LAYERS))].a).all()
