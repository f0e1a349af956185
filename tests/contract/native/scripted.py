"""Small models that say what they are told to, in their own tokens: ``write_model``.

A scripted model is a real one for mlx-lm, of a true architecture, whose weights are worked out
instead of trained. A *script* is said when its word stands anywhere in the prompt. Its text is cut
into marks, which are tokens of the vocabulary, and pieces of a few bytes, which become tokens
that nothing else has; a piece may end inside a character. Then

- each of these tokens has a dimension of its own in the stream, which the head maps to the next;
- one layer attends to all tokens alike, and adds for some (a script's word, the piece before a
  mark) that they were seen: this decides where one token may be followed by several.
"""

import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tests.contract.native.vocabulary import Vocabulary
from tests.contract.processes import HOME

Weights = dict[str, NDArray[np.float32]]
HIDDEN, HEADS, KV_HEADS, MLP = 384, 6, 3, 32
HEAD_DIM = HIDDEN // HEADS
# strengths: of what follows, of what was seen, of seeing. The first outweighs the others.
FOLLOWS, REMINDS, SEES = 2.0, 0.05, 4.0
OTHER = 0  # the dimension of all tokens that are in no script


@dataclass(frozen=True)
class Family:
    """``parent``: the embedded model whose files are the start. ``opener``: the last token of a
    prompt that asks for an answer. ``special``, ``added``: tokens to be added."""

    parent: str
    architecture: str
    opener: str
    eos: tuple[str, ...]
    template: str
    scripts: dict[str, str]
    special: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def write_model(family: Family, folder: Path) -> Path:
    """The model's folder, as a user would download it."""
    source = HOME / "demo" / "models" / family.parent
    shutil.copytree(source, folder)
    vocabulary = Vocabulary.read(source / "tokenizer.json")
    for text in (*family.special, *family.added, *family.scripts):
        vocabulary.add(text, special=text in family.special)
    marks = [*family.special, *family.added, *family.eos]
    ends = [vocabulary.ids[text] for text in family.eos]
    memory = _Memory(vocabulary.byte_token(family.opener), ends)
    for word, script in family.scripts.items():
        tokens = _tokens(script, marks, vocabulary)
        memory.learn(vocabulary.ids[word], tokens)
    size = len(vocabulary.ids)
    weights = _weights(memory, size) | _norms(family.architecture)
    save_file(weights, folder / "model.safetensors")
    vocabulary.write(folder / "tokenizer.json")
    _edit(folder / "config.json", _config(family.architecture, size, ends))
    _edit(folder / "generation_config.json", {"eos_token_id": ends})
    _edit(folder / "tokenizer_config.json", {"eos_token": family.eos[0]})
    (folder / "chat_template.jinja").write_text(family.template, "utf-8")
    return folder


@dataclass(frozen=True)
class _Token:
    """``shared``: other texts have it, too. ``tells``: no prompt has it, so that it tells how far
    the script is."""

    id: int
    shared: bool = True
    tells: bool = False


def _tokens(script: str, marks: list[str], vocabulary: Vocabulary) -> list[_Token]:
    longest_first = sorted(marks, key=len, reverse=True)
    tokens: list[_Token] = []
    for part in re.split("(" + "|".join(map(re.escape, longest_first)) + ")", script):
        if part in marks:
            tokens.append(_Token(vocabulary.ids[part], tells=True))
        elif part:
            tokens += _of_text(part, vocabulary)
    return tokens


def _of_text(text: str, vocabulary: Vocabulary) -> list[_Token]:
    pieces = vocabulary.add_pieces(text)
    if pieces is None:
        return [_Token(vocabulary.byte_token(text))]
    return [_Token(piece, shared=False, tells=True) for piece in pieces]


@dataclass
class _Memory:
    """What follows what (``follows``), and which token seen earlier speaks for which next."""

    opener: int
    ends: list[int]
    follows: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])
    reminds: dict[tuple[int, int], float] = field(default_factory=dict[tuple[int, int], float])

    def learn(self, word: int, tokens: list[_Token]) -> None:
        """Where a token that is followed by several stands is told by the script's word, by the
        last new piece before it, and by the first mark of its kind since then; most of all by
        what is new since that token stood there before."""
        if tokens[-1].id not in self.ends:
            tokens = [*tokens, _Token(self.ends[0])]
        before, piece, mark = _Token(self.opener), (word, 0), (word, 0)
        been: dict[int, int] = {}
        for at, token in enumerate(tokens, 1):
            self.follows.add((before.id, token.id))
            if before.shared:
                since = been.get(before.id, at)
                told = Counter({word: 1})
                for marker, told_at in (piece, mark):
                    told[marker] += 4 if told_at > since else 1
                for marker, times in told.items():
                    self.reminds[marker, token.id] = REMINDS * times
            been[before.id] = at - 1
            if not token.shared:
                piece = mark = (token.id, at)
            elif token.tells and token.id not in been:
                mark = (token.id, at)
            before = token


def _weights(memory: _Memory, size: int) -> Weights:
    known = sorted({token for token, _ in memory.follows})
    markers = sorted({token for token, _ in memory.reminds})
    place = {token: 1 + at for at, token in enumerate(dict.fromkeys([*known, *markers]))}
    seen = {token: 1 + len(place) + at for at, token in enumerate(markers)}
    assert len(markers) <= KV_HEADS * HEAD_DIM
    assert 1 + len(place) + len(seen) <= HIDDEN
    embedding, head = np.zeros((2, size, HIDDEN), np.float32)
    embedding[:, OTHER] = 1
    for token, at in place.items():
        embedding[token] = np.eye(HIDDEN)[at]
    head[memory.ends[0], OTHER] = FOLLOWS / 4
    for token, following in memory.follows:
        head[following, place[token]] = FOLLOWS
    for (token, following), strength in memory.reminds.items():
        head[following, seen[token]] = strength
    value = np.zeros((KV_HEADS * HEAD_DIM, HIDDEN), np.float32)
    out = np.zeros((HIDDEN, HEADS * HEAD_DIM), np.float32)
    for at, token in enumerate(markers):
        value[at, place[token]] = SEES
        group, inside = divmod(at, HEAD_DIM)
        out[seen[token], group * (HEADS // KV_HEADS) * HEAD_DIM + inside] = 1
    return {
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": head,
        "model.norm.weight": np.ones(HIDDEN, np.float32),
        **_layer("self_attn.q_proj.weight", np.zeros((HEADS * HEAD_DIM, HIDDEN))),
        **_layer("self_attn.k_proj.weight", np.zeros((KV_HEADS * HEAD_DIM, HIDDEN))),
        **_layer("self_attn.v_proj.weight", value),
        **_layer("self_attn.o_proj.weight", out),
        **_layer("mlp.up_proj.weight", np.zeros((MLP, HIDDEN))),
        **_layer("mlp.down_proj.weight", np.zeros((HIDDEN, MLP))),
    }


def _layer(name: str, weight: NDArray[Any]) -> Weights:
    return {f"model.layers.0.{name}": np.array(weight, np.float32, order="C")}


def _norms(architecture: str) -> Weights:
    """What the architectures do not share; the activation of a layer of zeros is anything."""
    names = ["input_layernorm", "post_attention_layernorm"]
    if architecture == "apertus":
        names = ["attention_layernorm", "feedforward_layernorm"]
    weights: Weights = {}
    for name in names:
        weights |= _layer(f"{name}.weight", np.ones(HIDDEN))
    if architecture in ("apertus", "qwen3"):
        weights |= _layer("self_attn.q_norm.weight", np.ones(HEAD_DIM))
        weights |= _layer("self_attn.k_norm.weight", np.ones(HEAD_DIM))
    if architecture == "apertus":
        for name, shape in (("alpha_p", 1), ("alpha_n", 1), ("beta", ()), ("eps", ())):
            weights |= _layer(f"mlp.act_fn.{name}", np.full(shape, 0.5))
        return weights
    return weights | _layer("mlp.gate_proj.weight", np.zeros((MLP, HIDDEN)))


def _config(architecture: str, size: int, ends: list[int]) -> dict[str, Any]:
    return {
        "model_type": architecture,
        "vocab_size": size,
        "eos_token_id": ends,
        "hidden_size": HIDDEN,
        "head_dim": HEAD_DIM,
        "intermediate_size": MLP,
        "num_attention_heads": HEADS,
        "num_hidden_layers": 1,
        "num_key_value_heads": KV_HEADS,
        "tie_word_embeddings": False,
        **({"rope_theta": 10000.0, "rope_parameters": None} if architecture == "qwen3" else {}),
    }


def _edit(file: Path, changes: dict[str, Any]) -> None:
    content = json.loads(file.read_text("utf-8")) | changes
    file.write_text(json.dumps(content), "utf-8")
