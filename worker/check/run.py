"""Check adapters base by base: read, put, probe, measure. One thread owns MLX here, too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fleet.errors import SourceError
from fleet.schema import Fleet
from worker.base import LoadedBase, load_base
from worker.check.examples import read_examples
from worker.check.judge import Judge
from worker.check.verdict import Verdict
from worker.lora.files import AdapterFiles, read_adapter
from worker.lora.model import AdapterModel
from worker.lora.probe import Probe
from worker.lora.targets import linear_layers
from worker.pieces import whole
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
        self._judge = Judge(base, model)
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

    def _measured(self, read: Verdict, path: Path) -> Verdict:
        self._progress(f"{read.base}: {read.adapter}: effect")
        read = replace(read, effect=whole(self._probe.proving(read.adapter, SLOT)))
        examples = read_examples(read.adapter, path)
        self._progress(f"{read.base}: {read.adapter}: perplexity and loops")
        return whole(self._judge.judging(read, examples, SLOT))


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
