"""Where a training's module is in this base, whatever its pipeline put before the name."""

from collections import Counter
from collections.abc import Mapping, Sequence

from fleet.errors import SourceError
from worker.lora.formats.naming import shown, some

_PREFIXES = ("base_model", "language_model", "model")
_PEFT_PREFIX = "base_model.model."
_EMBEDDINGS = frozenset(("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embeddings"))
_HEADS = frozenset(("lm_head", "output"))


def trained_name(module: str) -> str:
    """The module as the training knew it: without what PEFT puts before each name."""
    return module.removeprefix(_PEFT_PREFIX)


def is_embedding(module: str) -> bool:
    """True for the input embeddings, by the name that all models use for them."""
    return module.rpartition(".")[2] in _EMBEDDINGS


def map_paths(name: str, modules: Sequence[str], layers: Mapping[str, object]) -> dict[str, str]:
    """Adapter's module -> the base's path. Raises SourceError unless each has exactly one."""
    by_tail: dict[str, list[str]] = {}
    for path in layers:
        by_tail.setdefault(_tail(path), []).append(path)
    unknown = [m for m in modules if len(by_tail.get(_tail(m), [])) != 1]
    if unknown:
        raise SourceError(
            name,
            f"{len(unknown)} of {len(modules)} target layers are not layers of this base: "
            f"{some([shown(m) for m in unknown])}; {_reason(unknown)}",
        )
    paths = {module: by_tail[_tail(module)][0] for module in modules}
    count = Counter(paths.values())
    twice = [module for module, path in paths.items() if count[path] > 1]
    if twice:
        said = some([shown(m) for m in twice])
        raise SourceError(name, f"modules that mean one layer, stored twice: {said}")
    return paths


def _tail(path: str) -> str:
    """The path without what training pipelines put before ``layers.``.

    Only those words: layers of a vision tower are no layers of the language model.
    """
    words = path.split(".")
    while words and words[0] in _PREFIXES:
        words.pop(0)
    return ".".join(words)


def _reason(unknown: Sequence[str]) -> str:
    leaves = {module.rpartition(".")[2] for module in unknown}
    if leaves <= _EMBEDDINGS:
        return "this base has no embeddings of that name"
    if leaves <= _HEADS:
        return "this base has no output layer of its own (it is tied to the embeddings)"
    if all(".experts." in module or ".switch_mlp." in module for module in unknown):
        return "adapters of MoE experts are not supported"
    return "is it an adapter of another base?"
