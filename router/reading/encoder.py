"""The optional sentence encoder: a text -> a unit vector, by an ONNX model on one core.

onnxruntime and tokenizers come with the extra ``encoder`` and are imported by ``Encoder.load``
only. What the model would fail on is refused there, so that ``encode`` never has to. Reads two
files, runs no code of the model's authors, and changes no weights.
"""

from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fleet.schema import is_hub_id
from router.errors import RouterError
from router.reading.features import Floats, excerpt
from router.reading.head import SentenceHead

HEAD_TOKENS, TAIL_TOKENS = 96, 32
MOST_TOKENS = HEAD_TOKENS + TAIL_TOKENS
TOKENIZER = "tokenizer.json"
MODELS = (
    "model_quantized.onnx",
    "model_int8.onnx",
    "model_uint8.onnx",
    "model_quint8_avx2.onnx",
    "model_qint8_arm64.onnx",
    "model_qint8_avx512.onnx",
    "model_qint8_avx512_vnni.onnx",
    "model_qint8*.onnx",
    "model.onnx",
)
"""The first that is there is taken, from the folder itself or its ``onnx/``: int8 first, and
among int8 those whose arithmetic doesn't saturate on older processors."""
INSTALL = "pip install 'ailiance-gateway[encoder]'"
_MEND = f"name a folder with {TOKENIZER} and an ONNX model that belong together (docs/encoder.md)"
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_ELSEWHERE = b"\x0a\x08location\x12"
"""How ONNX's protobuf says that a tensor is in another file, which our digest wouldn't cover."""
_PER_TOKEN = ("last_hidden_state", "token_embeddings")


class Encoder:
    """A model with its tokenizer. Safe from several threads; the same text gives the same row.

    Texts pass the model one at a time: dynamic int8 takes its scales from the whole batch, so
    a row would depend on its neighbours, and on one thread a batch is no faster.
    """

    def __init__(self, source: str, digest: str, network: "_Network", tokenizer: Any) -> None:
        self.source = source
        """As configured: a folder, or ``org/name@revision``."""
        self.digest = digest
        """SHA-256 over the model's bytes, then the tokenizer's."""
        self.dimension = network.dimension
        self._network = network
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, source: str) -> "Encoder":
        """From a local folder or a pinned hub id. Raises RouterError with the mend."""
        runtime, tokenizers = (load_extra(name, source) for name in ("onnxruntime", "tokenizers"))
        model, tokens = _contents(source)
        if _ELSEWHERE in model:
            raise RouterError(source, "keeps weights in a second file; save the model as one")
        try:
            tokenizer: Any = tokenizers.Tokenizer.from_str(tokens.decode())
            session: Any = runtime.InferenceSession(
                model, _options(runtime), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # neither library has a common class for its errors
            raise RouterError(source, f"not a sentence encoder: {error}; {_MEND}") from None
        tokenizer.no_truncation()  # we cut ourselves, and keep the end as well
        tokenizer.no_padding()
        top = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
        network = _Network(source, session, top)
        return cls(source, sha256(model + tokens).hexdigest(), network, tokenizer)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Unit rows, shape (texts, dimension); zeros for a text without a token."""
        rows = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in zip(rows, texts, strict=True):
            ids = self.token_ids(text)
            if ids:
                row[:] = _unit(self._network.read(ids))
        return rows

    def token_ids(self, text: str) -> list[int]:
        """What the model sees of a text: its first 96 and last 32 tokens, special ones included."""
        try:
            found = self._tokenizer.encode(_as_unicode(excerpt(text)))
        except Exception:  # a tokenizer without an unknown token refuses words that it lacks
            return []
        if all(found.special_tokens_mask):
            return []
        ids: list[int] = found.ids
        return ids if len(ids) <= MOST_TOKENS else ids[:HEAD_TOKENS] + ids[-TAIL_TOKENS:]


def load_for(head: SentenceHead, source: str | None) -> Encoder:
    """The encoder that ``head`` was fitted with, from ``source`` or from where it was then.

    Raises RouterError if it isn't there, or is another one.
    """
    encoder = Encoder.load(source or head.source)
    if encoder.digest != head.digest:
        raise RouterError(
            encoder.source,
            f"the weights were fitted with another encoder (of '{head.source}', sha256 "
            f"{head.digest[:12]}, not {encoder.digest[:12]}); "
            f"run 'ailiance router fit --encoder {encoder.source}', or name that one",
        )
    return encoder


def load_extra(name: str, source: str) -> Any:
    """A module that only the extra installs; Any, because neither ships types."""
    try:
        return import_module(name)
    except ImportError as error:
        raise RouterError(source, f"needs {name} ({error}); run {INSTALL}") from None


class _Network:
    """The ONNX model: token ids -> one vector, not yet of unit length."""

    def __init__(self, source: str, session: Any, top_id: int) -> None:
        inputs = {each.name for each in session.get_inputs()}
        outputs = {each.name for each in session.get_outputs()}
        ready = [name for name in ("sentence_embedding", *_PER_TOKEN) if name in outputs]
        if "input_ids" not in inputs or inputs - _INPUTS or not ready:
            raise RouterError(
                source,
                f"takes {sorted(inputs)} and gives {sorted(outputs)}, which is no sentence "
                f"encoder's; export it for feature extraction (docs/encoder.md)",
            )
        self._session, self._inputs, self._output = session, inputs, ready[0]
        self.dimension = self._probe(source, top_id)

    def read(self, ids: list[int]) -> Floats:
        """(dimension,): the model's own sentence vector, else the mean of its tokens' vectors."""
        row = np.array([ids], np.int64)
        given = {
            "input_ids": row,
            "attention_mask": np.ones_like(row),  # one text, so no padding
            "token_type_ids": np.zeros_like(row),
        }
        feed = {name: given[name] for name in self._inputs}
        (found,) = self._session.run([self._output], feed)
        vector = np.asarray(found[0], np.float32)
        return vector.mean(axis=0) if self._output in _PER_TOKEN else vector

    def _probe(self, source: str, top_id: int) -> int:
        """The dimension; the shortest and the longest text and the last token must pass."""
        try:
            shapes = {self.read(ids).shape for ids in ([top_id], [top_id] * MOST_TOKENS)}
            ((dimension,),) = shapes
            return int(dimension)
        except Exception as error:  # onnxruntime's errors have no common class
            raise RouterError(
                source,
                f"fails on {MOST_TOKENS} tokens or on its tokenizer's ids up to {top_id}: "
                f"{error}; {_MEND}",
            ) from None


def _contents(source: str) -> tuple[bytes, bytes]:
    """The model and the tokenizer. What is hashed is what is loaded: files are read once."""
    folder, model = _on_hub(source) if is_hub_id(source) else _on_disk(source)
    if model is None:
        raise RouterError(source, f"no model.onnx or int8 variant, nor in onnx/; {_MEND}")
    try:
        return model.read_bytes(), (folder / TOKENIZER).read_bytes()
    except FileNotFoundError:
        raise RouterError(source, f"no {TOKENIZER}; {_MEND}") from None
    except OSError as error:
        raise RouterError(source, f"can't be read: {error}; {_MEND}") from None


def _on_disk(source: str) -> tuple[Path, Path | None]:
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise RouterError(
            source,
            "no such folder; name a folder, or a hub id with its revision pinned: "
            "org/name@REVISION, best a commit's hash",
        )
    found = (_model_in(folder, name) for name in MODELS)
    return folder, next((model for model in found if model is not None), None)


def _on_hub(source: str) -> tuple[Path, Path | None]:
    """One model's files, downloaded or from the cache: a repository holds many variants."""
    repo, _, revision = source.partition("@")
    if not revision:
        raise RouterError(source, "no revision after '@'; pin it, best by a commit's hash")
    folder = Path()
    for name in MODELS:
        folder = _snapshot(source, repo, revision, [TOKENIZER, name, f"onnx/{name}"])
        model = _model_in(folder, name)
        if model is not None:
            return folder, model
        revision = folder.name  # the commit: what it lists is in the cache from here on
    return folder, None


def _snapshot(source: str, repo: str, revision: str, patterns: list[str]) -> Path:
    fetch: Any = import_module("huggingface_hub").snapshot_download
    try:
        return Path(fetch(repo, revision=revision, allow_patterns=patterns))
    except Exception as error:  # its HTTP client's errors differ between versions
        raise RouterError(
            source, f"can't be fetched from the hub: {error}; or name a local folder"
        ) from None


def _model_in(folder: Path, name: str) -> Path | None:
    found = [*sorted(folder.glob(name)), *sorted(folder.glob(f"onnx/{name}"))]
    return found[0] if found else None


def _options(runtime: Any) -> Any:
    """One thread, the caller's: the router shares its machine with models."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors only: we raise them
    return options


def _as_unicode(text: str) -> str:
    """With surrogate pairs joined and lone surrogates replaced: tokenizers take neither."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _unit(vector: Floats) -> Floats:
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if 0.0 < length < np.inf else np.zeros_like(vector)
