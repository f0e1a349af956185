"""The PEFT files are true PEFT files: peft's own logits and the MLX ones agree.

Needs the extra ``[train]``; run by `make test-all`.
"""

import numpy as np
import pytest

from demo import root
from demo.fleet_plan import ADAPTERS, AdapterPlan
from demo.fused import FusedBase

import mlx.core as mx  # isort: skip  (demo.fused loads OpenBLAS first)

pytestmark = [pytest.mark.reference, pytest.mark.filterwarnings("default")]
PEFT_PLANS = [plan for plan in ADAPTERS if plan.format == "peft"]
PROMPT = [5, 300, 301, 302, 6, 7, 400, 401, 9, 10]


@pytest.mark.parametrize("plan", PEFT_PLANS, ids=lambda plan: plan.domain)
def test_peft_and_mlx_agree(plan: AdapterPlan) -> None:
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    transformers = pytest.importorskip("transformers")
    base_folder = root() / "models" / plan.base
    adapter_folder = root() / "adapters" / plan.domain
    bare = transformers.AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(bare, adapter_folder).eval()
    with torch.no_grad():
        expected = model(torch.tensor([PROMPT])).logits.float().log_softmax(-1).numpy()
    fused = FusedBase(base_folder)
    fused.apply(adapter_folder)
    logits = fused.model(mx.array([PROMPT]))
    found = np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
    assert float(np.abs(expected - found).max()) < 1e-3
