"""Check adapters base by base: read, put, probe, measure. One thread owns MLX here, too."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fleet.errors import SourceError
from fleet.schema import Fleet
from worker.base import LoadedBase, load_base
from worker.check.examples import read_examples
from worker.check.measure import LOOP_TOKENS, Measure
from worker.check.verdict import Verdict
from worker.lora.files import AdapterFiles, read_adapter
from worker.lora.model import AdapterModel
from worker.lora.probe import Probe
from worker.lora.targets import linear_layers
from worker.pieces import whole
from worker.prompt.render import TemplateRefusal
from worker.source import local_folder

SLOT = 1
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """Adapters of one base to check: name -> source, or a folder that is no source."""

    base: str
    adapters: Mapping[str, str | Path]


def check_base(fleet: Fleet, wanted: Wanted, progress: Progress) -> list[Verdict]:
    """A verdict for each adapter; a base that can't be loaded refuses them all."""
    config = fleet.bases[wanted.base]
    progress(f"loading {wanted.base}")
    try:
        folder = local_folder(fleet, wanted.base, config.model)
        base = load_base(wanted.base, folder, config.dtype, config.max_model_len)
    except SourceError as error:
        return [_refused(name, wanted.base, f"its base: {error}") for name in wanted.adapters]
    model = AdapterModel(base.model, SLOT, base.dtype)
    check = _Check(fleet, base, model, progress)
    return [check.verdict(name, source) for name, source in wanted.adapters.items()]


class _Check:
    def __init__(
        self, fleet: Fleet, base: LoadedBase, model: AdapterModel, progress: Progress
    ) -> None:
        self._fleet = fleet
        self._base = base
        self._model = model
        self._layers = linear_layers(base.model)
        self._probe = Probe(model, base.vocabulary)
        self._measure = Measure(base, model)
        self._progress = progress

    def verdict(self, name: str, source: str | Path) -> Verdict:
        self._progress(f"{self._base.name}: {name}: reading")
        read = Verdict(name, self._base.name, "refused")
        try:
            path = source if isinstance(source, Path) else local_folder(self._fleet, name, source)
            files = read_adapter(name, path, self._layers)
            read = _described(files, self._base.name)
            self._model.put(SLOT, files)
            return self._measured(read, path)
        except SourceError as error:
            return replace(read, reason=error.message)
        except TemplateRefusal as error:
            reason = f"the base's chat template refuses its examples: {error}"
            return replace(read, reason=reason)

    def _measured(self, read: Verdict, path: Path) -> Verdict:
        name = read.adapter
        self._progress(f"{read.base}: {name}: effect")
        read = replace(read, effect=whole(self._probe.proving(name, SLOT)))
        examples = read_examples(name, path)
        self._progress(f"{read.base}: {name}: perplexity")
        bare = self._measure.perplexity(examples, 0)
        own = self._measure.perplexity(examples, SLOT)
        if not all(math.isfinite(figure) for figure in (own or 0.0, bare or 0.0)):
            raise SourceError(name, "its logits are not finite on its own examples")
        self._progress(f"{read.base}: {name}: loops")
        loop = self._measure.loop(examples, SLOT)
        found = replace(
            read, status="ok", examples=len(examples), perplexity=own, base_perplexity=bare
        )
        if loop is not None:
            said = self._base.tokenizer.decode(list(loop.tokens))
            reason = f"repeats {said!r} {loop.repeats} times at the end of {LOOP_TOKENS} tokens"
            return replace(found, status="loops", loop=said, reason=reason)
        if own is not None and bare is not None and own > bare:
            reason = f"perplexity on its own examples is {own:.2f}, the bare base's {bare:.2f}"
            return replace(found, status="worse", reason=reason)
        return found


def _described(files: AdapterFiles, base: str) -> Verdict:
    return Verdict(
        adapter=files.name,
        base=base,
        status="refused",
        format=f"{files.format}+dora" if files.dora else files.format,
        rank=files.rank,
        targets=files.targets,
        layers=len(files.factors),
        bytes=files.nbytes,
        digest=files.digest,
    )


def _refused(name: str, base: str, reason: str) -> Verdict:
    return Verdict(name, base, "refused", reason)
