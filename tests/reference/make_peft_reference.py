"""Log-probabilities of the embedded PEFT adapters by transformers + peft in float32.

    python -m tests.reference.make_peft_reference

writes ``peft.json`` beside this file, from the repository's root, in an environment with
torch, transformers and peft (`pip install -e '.[train]'`; MLX is not needed). Run it whenever
a base or an adapter of the embedded fleet is trained again.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleet.digest import digest_files

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = Path(__file__).with_name("peft.json")
COMMAND = "python -m tests.reference.make_peft_reference"
TOKENS = 24
TOP = 8
DECIMALS = 5
TEXTS = (
    "What is the cutoff frequency of an RC low-pass filter with 10 kOhm and 10 nF, and how does "
    "it change with temperature?",
    "Write a function that reads a register over I2C, checks the acknowledge bit and returns an "
    "error code.",
    "Pourquoi le convertisseur oscille-t-il quand la charge est faible, et comment choisir la "
    "compensation ?",
)
PEFT_WEIGHTS = "adapter_model.safetensors"


def make_reference() -> dict[str, Any]:
    """The whole fixture: per base, its bare rows and those of each of its PEFT adapters."""
    import peft  # noqa: PLC0415  (only where it is made)
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    torch.manual_seed(0)
    bases: dict[str, Any] = {}
    for name, folder, adapters in peft_bases():
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        rows = [tokenizer.encode(text, add_special_tokens=False)[:TOKENS] for text in TEXTS]
        assert all(len(row) == TOKENS for row in rows), "a text of TEXTS is too short"

        def bare(folder: Path = folder) -> Any:
            return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

        measured = {"": {"digest": base_digest(folder), "rows": measure(bare().eval(), rows)}}
        for adapter, source in adapters.items():
            model = peft.PeftModel.from_pretrained(bare(), source).eval()
            measured[adapter] = {"digest": adapter_digest(source), "rows": measure(model, rows)}
        bases[name] = {"tokens": rows, "adapters": measured}
    made_with = {module.__name__: module.__version__ for module in (torch, transformers, peft)}
    return {"command": COMMAND, "made_with": made_with, "bases": bases}


def measure(model: Any, rows: list[list[int]]) -> list[dict[str, Any]]:
    """Per row: ids and log-probabilities of the best tokens, and the one that follows."""
    import torch  # noqa: PLC0415

    measured = []
    for row in rows:
        with torch.no_grad():
            logits = model(torch.tensor([row])).logits[0].float()
        logprobs = torch.log_softmax(logits, -1)
        best = torch.topk(logprobs, TOP, dim=-1)
        following = logprobs[range(len(row) - 1), row[1:]]
        measured.append(
            {
                "ids": best.indices.tolist(),
                "logprobs": [[round(v, DECIMALS) for v in at] for at in best.values.tolist()],
                "next": [round(value, DECIMALS) for value in following.tolist()],
            }
        )
    return measured


def peft_bases() -> Iterator[tuple[str, Path, dict[str, Path]]]:
    """Every base of adapters.yaml with its folder and its adapters that are PEFT files."""
    import yaml  # noqa: PLC0415

    fleet = yaml.safe_load((ROOT / "adapters.yaml").read_text())
    for name, base in fleet["bases"].items():
        adapters = {
            adapter: ROOT / entry["source"]
            for adapter, entry in fleet["adapters"].items()
            if entry["base"] == name and (ROOT / entry["source"] / PEFT_WEIGHTS).is_file()
        }
        yield name, ROOT / base["model"], adapters


def base_digest(folder: Path) -> str:
    """The digest that the worker reports for a base."""
    weights = [*folder.glob("model*.safetensors"), *folder.glob("tokenizer.json")]
    return digest_files([folder / "config.json", *weights])


def adapter_digest(folder: Path) -> str:
    """The digest that the worker reports for a PEFT adapter."""
    return digest_files([folder / "adapter_config.json", folder / PEFT_WEIGHTS])


def write_reference(reference: dict[str, Any]) -> None:
    FIXTURE.write_text(json.dumps(reference, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    write_reference(make_reference())
    print(f"{FIXTURE.relative_to(ROOT)}: {FIXTURE.stat().st_size} bytes")
