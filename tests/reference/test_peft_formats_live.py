"""Make the files and figures again with torch: the stored ones are what peft does today."""

import json
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from tests.reference.make_peft_formats import COMMAND, FORMATS, LOGITS, make_formats

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("default")]
TOLERANCE = 2e-4
WEIGHTS = "adapter_model.safetensors"


def test_stored_files_and_figures_are_what_peft_makes_today(tmp_path: Path) -> None:
    for module in ("torch", "transformers", "peft"):
        pytest.importorskip(module, reason=f"{module} is not installed: pip install -e '.[train]'")
    live = make_formats(tmp_path / "formats")
    fixed = json.loads(LOGITS.read_text())
    assert live["logits"].keys() == fixed["logits"].keys(), f"run: {COMMAND}"
    for name, rows in fixed["logits"].items():
        assert np.abs(np.array(rows) - np.array(live["logits"][name])).max() < TOLERANCE, name
        if name:
            one = mx.load(str(FORMATS / name / WEIGHTS))
            other = mx.load(str(tmp_path / "formats" / name / WEIGHTS))
            assert one.keys() == other.keys(), f"{name}: peft names its tensors otherwise"
