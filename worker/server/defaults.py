"""Sampling of one request: what the client set, else the model's own defaults, else OpenAI's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from wire.sampling import Sampling
from worker.engine.request import SamplingParams

_KNOWN = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


@dataclass(frozen=True)
class SamplingDefaults:
    """Defaults of one base, from its generation_config.json as vLLM reads it."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    @classmethod
    def read(cls, model: Path) -> "SamplingDefaults":
        """The defaults in folder ``model``; ``do_sample: false`` means temperature 0."""
        file = model / "generation_config.json"
        if not file.is_file():
            return cls()
        config = cast(dict[str, Any], json.loads(file.read_text("utf-8")))
        known = {name: config[name] for name in _KNOWN if config.get(name) is not None}
        if config.get("do_sample") is False:
            known["temperature"] = 0.0
        return cls(**known)

    def params(self, request: Sampling) -> SamplingParams:
        """A field that the client set always wins."""

        def pick(asked: Any, default: Any) -> Any:
            return default if asked is None else asked

        return SamplingParams(
            temperature=pick(request.temperature, self.temperature),
            top_p=pick(request.top_p, self.top_p),
            top_k=max(0, pick(request.top_k, self.top_k)),
            min_p=pick(request.min_p, self.min_p),
            seed=request.seed,
            frequency_penalty=request.frequency_penalty or 0.0,
            presence_penalty=request.presence_penalty or 0.0,
            repetition_penalty=pick(request.repetition_penalty, self.repetition_penalty),
            logit_bias=tuple((int(k), float(v)) for k, v in (request.logit_bias or {}).items()),
        )
