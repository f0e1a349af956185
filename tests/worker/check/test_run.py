"""`ailiance check` on real files: the embedded fleet, and adapters that are broken or loop."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from fleet.load import load_fleet, parse_fleet
from fleet.schema import Fleet
from worker.check.run import Wanted, check_base
from worker.check.verdict import Verdict

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = "adapters.safetensors"


def checked(fleet: Fleet, *names: str) -> dict[str, Verdict]:
    said: list[str] = []
    sources = {name: fleet.adapters[name].source for name in names}
    found = check_base(fleet, Wanted("apertus", sources), said.append)
    assert said, "progress is reported"
    return {verdict.adapter: verdict for verdict in found}


def fleet_with(folder: Path, *names: str) -> Fleet:
    entries = "".join(f"  {name}: {{base: apertus, source: {folder / name}}}\n" for name in names)
    base = ROOT / "demo" / "models" / "apertus"
    text = f"version: 1\nbases: {{apertus: {{model: {base}}}}}\nadapters:\n{entries}"
    return parse_fleet(text, folder / "adapters.yaml")


def copy_of(adapter: str, folder: Path) -> Path:
    return Path(shutil.copytree(ROOT / "demo" / "adapters" / adapter, folder))


def change(folder: Path, factor: float, half: str) -> None:
    tensors: Any = mx.load(str(folder / WEIGHTS))
    changed = {k: v * factor if k.endswith(half) else v for k, v in tensors.items()}
    mx.save_safetensors(str(folder / WEIGHTS), changed)


def test_the_embedded_adapters_are_fit_to_serve() -> None:
    found = checked(load_fleet(ROOT / "adapters.yaml"), "electronics", "spice")
    for name, form in (("electronics", "mlx"), ("spice", "peft")):
        verdict = found[name]
        assert (verdict.status, verdict.reason, verdict.format) == ("ok", None, form)
        assert (verdict.rank, verdict.layers, verdict.examples) == (16, 36, 12)
        assert verdict.perplexity is not None
        assert verdict.base_perplexity is not None
        assert verdict.perplexity < 3
        assert verdict.base_perplexity > 100
        assert verdict.effect is not None
        assert verdict.effect > 1


def test_broken_adapters_are_refused_and_do_not_disturb_the_next(tmp_path: Path) -> None:
    change(copy_of("power", tmp_path / "zero"), 0.0, "lora_b")
    change(copy_of("power", tmp_path / "nan"), float("nan"), "lora_b")
    (copy_of("power", tmp_path / "short") / WEIGHTS).write_bytes(b"short")
    (copy_of("power", tmp_path / "lines") / "examples.jsonl").write_text("{")
    copy_of("power", tmp_path / "good")
    names = ("zero", "nan", "short", "lines", "good")
    found = checked(fleet_with(tmp_path, *names), *names)
    reasons = {name: verdict.reason or "" for name, verdict in found.items()}
    assert "has no effect" in reasons["zero"]
    assert "NaN or infinity" in reasons["nan"]
    assert "can't be read" in reasons["short"]
    assert "examples.jsonl:1: not JSON" in reasons["lines"]
    assert [name for name in names if found[name].failed] == ["zero", "nan", "short", "lines"]
    assert found["zero"].digest is not None, "what was read before the refusal is told"
    alone = checked(fleet_with(tmp_path, "good"), "good")
    assert found["good"] == alone["good"]


def test_an_adapter_that_is_8_times_too_strong_loops_or_is_worse(tmp_path: Path) -> None:
    """A guessed scale came out as gibberish elsewhere."""
    change(copy_of("power", tmp_path / "strong"), 8.0, "lora_b")
    found = checked(fleet_with(tmp_path, "strong"), "strong")["strong"]
    assert found.status in ("worse", "loops")
    assert found.reason


def test_an_adapter_that_repeats_itself_without_an_end_loops(tmp_path: Path) -> None:
    """ "user user user" went out as answers elsewhere."""
    change(copy_of("kicad", tmp_path / "mad"), 16.0, "lora_b")
    found = checked(fleet_with(tmp_path, "mad"), "mad")["mad"]
    assert (found.status, found.failed) == ("loops", True)
    assert found.loop
    assert repr(found.loop) in (found.reason or "")


def test_a_base_that_can_not_be_loaded_refuses_its_adapters(tmp_path: Path) -> None:
    copy_of("power", tmp_path / "good")
    fleet = fleet_with(tmp_path, "good")
    (tmp_path / "empty").mkdir()
    base = fleet.bases["apertus"].model_copy(update={"model": str(tmp_path / "empty")})
    fleet = fleet.model_copy(update={"bases": {"apertus": base}})
    verdict = checked(fleet, "good")["good"]
    assert verdict.status == "refused"
    assert "config.json" in (verdict.reason or "")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", "check", *arguments],
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_command_line(tmp_path: Path) -> None:
    done = command("spice", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no progress where nobody looks"
    (verdict,) = json.loads(done.stdout)["data"]
    assert (verdict["adapter"], verdict["status"]) == ("spice", "ok")


def test_a_folder_that_no_fleet_names(tmp_path: Path) -> None:
    change(copy_of("power", tmp_path / "mine"), 0.0, "lora_b")
    done = command(str(tmp_path / "mine"), "--base", "apertus")
    assert done.returncode == 1
    assert "mine: has no effect" in done.stdout
    assert "of which base? --base: apertus, devstral" in command(str(tmp_path / "mine")).stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nobody",), "'nobody' is no adapter on an mlx base"),
        (("--base", "big"), "'big' is no mlx base of it; known: apertus, devstral"),
        (("--config", "/nowhere.yaml"), "no such file"),
    ],
)
def test_configuration_faults(arguments: tuple[str, ...], says: str) -> None:
    done = command(*arguments)
    assert done.returncode == 78
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
