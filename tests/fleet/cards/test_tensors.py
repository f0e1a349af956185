"""A card against the files beside it: names and shapes are those of the safetensors header."""

import json
import struct

import pytest

from fleet.cards import CardError, parse_card
from fleet.cards.against import check_files, check_fleet
from fleet.cards.tensors import header_of, read_facts
from tests.fleet.cards.texts import text_of

CARD = parse_card(text_of("whole"))


def write_header(file, header):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw)) + raw)


def tensor(*shape):
    return {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]}


def mlx(folder, rank=8, layers=28, targets=("q_proj", "v_proj"), scale=2.0, **more):
    header = {"__metadata__": {"format": "mlx"}}
    for layer in range(layers):
        for target in targets:
            name = f"model.layers.{layer}.self_attn.{target}"
            header |= {f"{name}.lora_a": tensor(64, rank), f"{name}.lora_b": tensor(rank, 32)}
    write_header(folder / "adapters.safetensors", header)
    config = {"lora_parameters": {"rank": rank, "scale": scale, "dropout": 0.1} | more}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def peft(folder, base="example-org/Tin-7B-Instruct"):
    header = {}
    for layer in range(28):
        for target in ("q_proj", "v_proj"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{target}"
            header[f"{name}.lora_A.weight"] = tensor(8, 64)
            header[f"{name}.lora_B.weight"] = tensor(32, 8)
    write_header(folder / "adapter_model.safetensors", header)
    config = {"r": 8, "lora_alpha": 16, "lora_dropout": 0.1, "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("write", [mlx, peft])
def test_a_card_that_tells_the_truth(tmp_path, write):
    write(tmp_path)
    facts = read_facts(tmp_path)
    assert (facts.ranks, facts.layers, facts.targets) == ((8,), 28, ("q_proj", "v_proj"))
    assert (facts.scale, facts.dropout) == (2.0, 0.1)
    assert check_files(CARD, facts) == []


def test_embeddings_of_peft_are_targets_like_others(tmp_path):
    """Their keys have no ``.weight``: a card that named them was contradicted by its own files."""
    peft(tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    header = {name: tensor(*shape) for name, shape in header_of(file).items()}
    name = "base_model.model.model.embed_tokens.lora_embedding_"
    write_header(file, header | {f"{name}A": tensor(8, 512), f"{name}B": tensor(64, 8)})
    facts = read_facts(tmp_path)
    assert (facts.ranks, facts.layers) == ((8,), 28)
    assert facts.targets == ("embed_tokens", "q_proj", "v_proj")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rank": 4}, ("rank 8", "tensors 4")),
        ({"layers": 27}, ("layers 28", "tensors 27")),
        ({"targets": ("q_proj", "down_proj")}, ("targets q_proj, v_proj", "down_proj, q_proj")),
        ({"dropout": 0.0}, ("dropout 0.1", "adapter_config.json 0")),
        ({"alpha": 32}, ("alpha 16", "adapter_config.json 32")),
    ],
)
def test_card_says_otherwise_than_the_files(tmp_path, change, words):
    mlx(tmp_path, **change)
    findings = check_files(CARD, read_facts(tmp_path))
    assert findings
    assert all(f.severity == "error" and f.kind == "against-files" for f in findings)
    for word in words:
        assert word in findings[0].message


def test_base_of_the_config_and_of_the_fleet(tmp_path):
    peft(tmp_path, "other-org/Lead-7B")
    (finding,) = check_files(CARD, read_facts(tmp_path))
    assert (finding.severity, finding.place) == ("error", "front matter")
    assert check_fleet(CARD, "example-org/Tin-7B-Instruct@4f1e0a") == []
    assert check_fleet(CARD, "/models/tin-7b-instruct") == []
    assert [f.severity for f in check_fleet(CARD, "/models/lead")] == ["warning"]
    assert [f.severity for f in check_fleet(CARD, "other-org/Lead-7B@4f1e0a")] == ["error"]


def test_no_weights_no_facts(tmp_path):
    assert read_facts(tmp_path) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"short",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 5) + b'{"a":',
        struct.pack("<Q", 9) + b'{"a": []}',
        struct.pack("<Q", 21) + b'{"a": {"shape":[-1]}}',
        struct.pack("<Q", 200_000) + b"[" * 200_000,
    ],
)
def test_broken_safetensors_are_refused(tmp_path, raw):
    file = tmp_path / "adapters.safetensors"
    file.write_bytes(raw)
    with pytest.raises(CardError, match=r"adapters\.safetensors"):
        header_of(file)


def test_config_that_is_no_json(tmp_path):
    mlx(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(CardError, match="adapter_config"):
        read_facts(tmp_path)
