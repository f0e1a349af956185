"""Makes tests/router/reading/encoder: a sentence encoder of 16 dimensions with random weights.

``model.onnx`` gives ``last_hidden_state``, ``int8.onnx`` is the same, quantised;
``pooled.onnx`` gives ``sentence_embedding``; ``parted.onnx`` keeps its weights in a file that
isn't here. Needs the package onnx, the tests don't:
``pip install onnx && python tests/router/reading/make_encoder.py``
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

FOLDER = Path(__file__).parent / "encoder"
WIDTH, POSITIONS, OPSET = 16, 128, 17
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
FRUIT = ["apple", "pear", "plum", "cherry", "grape", "melon", "lemon", "peach"]
TOOLS = ["hammer", "saw", "drill", "wrench", "pliers", "chisel", "clamp", "screwdriver"]
COMMON = ["the", "a", "of", "and", "is", "my", "in", "how", "do", "i", "which", "ripe", "steel"]
CHARACTERS = [chr(c) for c in range(33, 127) if not chr(c).isupper()]


def vocabulary() -> dict[str, int]:
    tokens = [*SPECIAL, *FRUIT, *TOOLS, *COMMON, *CHARACTERS, *(f"##{c}" for c in CHARACTERS)]
    return {token: at for at, token in enumerate(dict.fromkeys(tokens))}


def make_tokenizer() -> Tokenizer:
    """BERT's, with the truncation and the padding that published ones come with."""
    tokenizer = Tokenizer(models.WordPiece(vocabulary(), unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(64)
    tokenizer.enable_padding(length=64)
    return tokenizer


class Graph:
    """Collects nodes and weights; the same weights at each run."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.chance = np.random.default_rng(7)

    def constant(self, value: np.ndarray | np.generic) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def random(self, *shape: int) -> str:
        return self.constant(self.chance.standard_normal(shape).astype(np.float32))

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name


def embedded(graph: Graph, *, with_types: bool) -> str:
    """(batch, seq, WIDTH): words, places and, if asked for, types."""
    hidden = graph.node("Gather", graph.random(len(vocabulary()), WIDTH), "input_ids")
    length = graph.node("Shape", "input_ids", start=1)
    start = graph.constant(np.array([0], np.int64))
    places = graph.node("Slice", graph.random(POSITIONS, WIDTH), start, length, start)
    hidden = graph.node("Add", hidden, graph.node("Mul", places, graph.constant(np.float32(0.1))))
    if not with_types:
        return hidden
    return graph.node("Add", hidden, graph.node("Gather", graph.random(2, WIDTH), "token_type_ids"))


def attended(graph: Graph, hidden: str, output: str) -> str:
    """One head of attention under the mask, and a residual."""
    mask = graph.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    hole = graph.node("Sub", mask, graph.constant(np.float32(1)))
    hole = graph.node("Mul", hole, graph.constant(np.float32(1e9)))
    hole = graph.node("Unsqueeze", hole, graph.constant(np.array([1], np.int64)))
    query = graph.node("MatMul", hidden, graph.random(WIDTH, WIDTH))
    value = graph.node("MatMul", hidden, graph.random(WIDTH, WIDTH))
    logits = graph.node("MatMul", query, graph.node("Transpose", hidden, perm=[0, 2, 1]))
    logits = graph.node("Mul", logits, graph.constant(np.float32(0.02)))
    shares = graph.node("Softmax", graph.node("Add", logits, hole), axis=-1)
    mixed = graph.node("Mul", graph.node("MatMul", shares, value), graph.constant(np.float32(0.2)))
    return graph.node("Add", hidden, mixed, output=output)


def first_token(graph: Graph, hidden: str) -> None:
    """(batch, WIDTH) as ``sentence_embedding``, not of unit length."""
    first = graph.constant(np.int64(0))
    graph.node("Gather", hidden, first, axis=1, output="sentence_embedding")


def make_model(*, pooled: bool) -> onnx.ModelProto:
    graph = Graph()
    name = "token_embeddings" if pooled else "last_hidden_state"
    hidden = attended(graph, embedded(graph, with_types=not pooled), name)
    shapes: dict[str, list[str | int]] = {name: ["batch", "seq", WIDTH]}
    if pooled:
        first_token(graph, hidden)
        shapes["sentence_embedding"] = ["batch", WIDTH]
    inputs = ["input_ids", "attention_mask", *([] if pooled else ["token_type_ids"])]
    made = helper.make_graph(
        graph.nodes,
        "tiny",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "seq"]) for n in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        graph.weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 9
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    make_tokenizer().save(str(FOLDER / "tokenizer.json"))
    onnx.save(make_model(pooled=False), FOLDER / "model.onnx")
    onnx.save(make_model(pooled=True), FOLDER / "pooled.onnx")
    with tempfile.TemporaryDirectory() as folder:  # it leaves files beside its input
        plain = Path(folder) / "model.onnx"
        onnx.save(make_model(pooled=False), plain)
        onnx.save(
            make_model(pooled=False),
            Path(folder) / "parted.onnx",
            save_as_external_data=True,
            location="parted.data",
        )
        shutil.copy(Path(folder) / "parted.onnx", FOLDER)
        quantize_dynamic(plain, FOLDER / "int8.onnx", weight_type=QuantType.QInt8)


if __name__ == "__main__":
    main()
