"""lm-evaluation-harness against a real gateway: what it measures is what the model says.

The harness is a program of its own with an environment of its own: ``make .venv/.evals``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest

from tests.contract.processes import EMBEDDED, HOME
from worker.base import load_base
from worker.lora.files import read_adapter
from worker.lora.model import AdapterModel, linear_layers

pytestmark = pytest.mark.slow

TASKS = Path(__file__).parent / "lm_eval_task"
PYTHON = Path(sys.prefix) / "evals" / "bin" / "python"
BASE, ADAPTER = "apertus", "electronics"
FOLDER = HOME / EMBEDDED["bases"][BASE]["model"]
NAMES = {f"ailiance-{BASE}": None, f"ailiance-{BASE}-{ADAPTER}": ADAPTER}


@pytest.fixture(scope="module")
def loaded():
    """The base and one adapter in this process, without gateway, batch or cache."""
    base = load_base(BASE, FOLDER, "auto", None)
    source = HOME / EMBEDDED["adapters"][ADAPTER]["source"]
    file = read_adapter(ADAPTER, source, linear_layers(base.model))
    model = AdapterModel(base.model, 1, base.dtype)
    model.put(1, file)
    return base, model


class Harness:
    """``lm_eval run`` in a folder of its own, offline."""

    def __init__(self, folder, url):
        self._folder, self._url = folder, url
        assert PYTHON.exists(), "lm-evaluation-harness is missing; run: make .venv/.evals"

    def run(self, kind, path, task, *more, **model_args):
        """The samples of that task; raises with the harness' own words."""
        model_args |= {"base_url": self._url + path, "max_retries": 1}
        told = ",".join(f"{key}={value}" for key, value in model_args.items())
        command = [PYTHON, "-m", "lm_eval", "run", "--model", kind, "--model_args", told]
        command += ["--tasks", task, "--include_path", TASKS, "--log_samples"]
        command += ["--output_path", self._folder, *more]
        offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
        env = os.environ | offline | {"HF_HOME": str(self._folder / "hf")}
        # the tasks name their files relative to the folder
        done = subprocess.run(
            command, cwd=TASKS, env=env, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        (file,) = self._folder.glob(f"**/samples_{task}_*.jsonl")
        samples = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        return sorted(samples, key=lambda sample: sample["doc_id"])


@pytest.fixture
def harness(tmp_path, url):
    return Harness(tmp_path, url)


@pytest.mark.parametrize("concurrent", [1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_log_likelihoods_are_the_models_own(harness, loaded, name, concurrent):
    fields = {"model": name, "tokenizer_backend": "huggingface", "tokenizer": FOLDER}
    fields["num_concurrent"] = concurrent
    samples = harness.run(
        "local-completions", "/v1/completions", "ailiance_choices", "--batch_size", "3", **fields
    )
    assert len(samples) == 4
    checked = 0
    for sample in samples:
        for pair, ((told, greedy),) in zip(
            sample["arguments"].values(), sample["resps"], strict=True
        ):
            score, likeliest = scored(loaded, NAMES[name], pair["arg_0"], pair["arg_1"])
            assert float(told) == pytest.approx(score, abs=1e-3)
            assert greedy in (likeliest, str(likeliest))
            checked += 1
    assert checked == 12


def scored(loaded, adapter, context, continuation):
    """Log-likelihood of the continuation; whether each of its tokens is the likeliest."""
    base, model = loaded
    whole, first = (encode(base, text) for text in (context + continuation, context))
    logits = model.logits(mx.array([whole[:-1]]), 0 if adapter is None else 1)[0].astype(mx.float32)
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    found = [(logprobs[i - 1], whole[i]) for i in range(len(first), len(whole))]
    score = sum(row[token].item() for row, token in found)
    return score, all(mx.argmax(row).item() == token for row, token in found)


def encode(base, text):
    return base.tokenizer.encode(text, add_special_tokens=False)


def test_text_prompts_are_scored_as_well(harness):
    """As with a server that takes no token ids; the tokenizer adds its start token."""
    samples = harness.run(
        "local-completions",
        "/v1/completions",
        "ailiance_choices",
        model=f"ailiance-{BASE}",
        tokenizer_backend="huggingface",
        tokenizer=FOLDER,
        tokenized_requests=False,
    )
    assert all(float(told) < 0 for sample in samples for ((told, _),) in sample["resps"])


@pytest.mark.parametrize("chat", [False, True])
def test_answers_are_the_gateways_own(harness, http, chat):
    name = f"ailiance-{BASE}-{ADAPTER}"
    if chat:
        path, kind = "/v1/chat/completions", "local-chat-completions"
        samples = harness.run(kind, path, "ailiance_answers", "--apply_chat_template", model=name)
    else:
        path, kind = "/v1/completions", "local-completions"
        tokens = {"tokenizer_backend": "huggingface", "tokenizer": FOLDER}
        samples = harness.run(kind, path, "ailiance_answers", model=name, **tokens)
    assert len(samples) == 3
    for sample in samples:
        (told,) = sample["resps"][0]
        assert told == answered(http, path, name, sample["doc"]["question"], chat)


def answered(http, path, name, question, chat):
    body = {"model": name, "temperature": 0, "max_tokens": 12, "stop": ["."]}
    if chat:
        body["messages"] = [{"role": "user", "content": question}]
        choice = http.post(path, json=body).raise_for_status().json()["choices"][0]
        return choice["message"]["content"]
    # the harness sends token ids without a start token
    told = {"model": name, "prompt": question, "add_special_tokens": False}
    body["prompt"] = http.post("/tokenize", json=told).raise_for_status().json()["tokens"]
    return http.post(path, json=body).raise_for_status().json()["choices"][0]["text"]
