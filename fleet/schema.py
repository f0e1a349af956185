"""The shape of adapters.yaml: frozen models, unknown keys forbidden. No I/O here."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from fleet.evidence.results import Evaluations, Evidence, ServeIf

ROUTER_FILE = "router.npz"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def _check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(
            f"'{name}' is not a usable name; use lower-case letters, digits, '.', '_', '-'"
        )
    return name


Name = Annotated[str, AfterValidator(_check_name)]


def is_hub_id(source: str) -> bool:
    """True for ``org/name@revision``: a model hub id with its revision.

    Without ``@`` it is a path, whatever is on the disk: no misspelt path reaches for the net.
    """
    return "@" in source and source.count("/") == 1 and not source.startswith((".", "/", "~"))


def is_pinned(source: str) -> bool:
    """True for a hub id whose revision is a commit; a branch or a tag may move."""
    return re.fullmatch(r"[0-9a-f]{40}", source.rpartition("@")[2]) is not None


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Base(_Entry):
    """One base model: served by our MLX worker, or by any OpenAI server at ``url``."""

    engine: Literal["mlx", "openai"] = "mlx"
    model: Annotated[str, Field(min_length=1)]
    url: str | None = None
    slots: Annotated[int, Field(ge=1, le=4096)] = 16
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    max_model_len: Annotated[int, Field(ge=16)] | None = None
    max_rows: Annotated[int, Field(ge=1, le=512)] = 32
    max_queue: Annotated[int, Field(ge=0)] = 256
    embeddings: bool = False
    memory_bytes: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _url_fits_engine(self) -> "Base":
        if self.engine == "openai" and not self.url:
            raise ValueError("engine 'openai' needs 'url', for example http://vllm:8000")
        if self.engine == "mlx" and self.url:
            raise ValueError("'url' goes with engine 'openai'; remove it or set the engine")
        return self


class Adapter(_Entry):
    """One LoRA adapter of one base."""

    base: str
    source: Annotated[str, Field(min_length=1)]
    domain: str | None = None
    status: Literal["active", "quarantined"] = "active"
    reason: str | None = None
    pinned: bool = False
    evaluation: Evaluations = ()
    serve_if: ServeIf | None = None

    @model_validator(mode="after")
    def _quarantine_has_reason(self) -> "Adapter":
        if self.status == "quarantined" and not self.reason:
            raise ValueError("a quarantined adapter needs a 'reason'")
        return self


def _check_examples(value: Any) -> Any:
    texts: list[Any] = cast(list[Any], value) if isinstance(value, list) else [value]
    if value is not None and (not texts or not all(isinstance(text, str) for text in texts)):
        raise ValueError("a path, or a list of texts; put a text that holds ': ' in quotes")
    return cast(Any, value)


class Domain(_Entry):
    """One domain the router may name.

    ``examples`` is a file of prompts, or the prompts; without any, those that ship with
    ailiance under the domain's name.
    """

    description: str
    examples: Annotated[str | list[str] | None, BeforeValidator(_check_examples)] = None


class RouterFiles(_Entry):
    """Where the router's weights are, and the sentence encoder that they were fitted with."""

    weights: str | None = None
    encoder: str | None = None


def _as_router_files(value: Any) -> Any:
    if not isinstance(value, str | dict | RouterFiles):
        raise ValueError("a path of weights, or {weights: PATH, encoder: SOURCE}")
    return {"weights": value} if isinstance(value, str) else cast(Any, value)


class Fleet(_Entry):
    """The whole file. ``folder`` is where relative paths start; it is not a key of the file."""

    version: Literal[1]
    prefix: Name = "ailiance"
    default_base: str | None = None
    bases: Annotated[dict[Name, Base], Field(min_length=1)]
    adapters: dict[Name, Adapter] = {}
    domains: dict[Name, Domain] = {}
    aliases: dict[str, str] = {}
    evidence: Evidence = Evidence()
    router: Annotated[RouterFiles, BeforeValidator(_as_router_files)] = RouterFiles()
    lora_roots: Annotated[list[str], Field(min_length=1)] | None = None
    folder: Path = Field(default=Path("."), exclude=True)

    @property
    def fallback_base(self) -> str:
        """The base that answers when nothing chose another: named, else the first."""
        return self.default_base or next(iter(self.bases))

    def adapters_of(self, base: str) -> dict[str, Adapter]:
        """The adapters on one base, in file order."""
        return {name: a for name, a in self.adapters.items() if a.base == base}

    def resolve(self, source: str) -> Path:
        """A path of the file, absolute; relative ones start at the file's folder."""
        return (self.folder / Path(source).expanduser()).resolve()

    @property
    def roots(self) -> list[Path]:
        """Where adapters that a client names by path may be: ``lora_roots``, else our folder."""
        return [self.resolve(root) for root in self.lora_roots or ["."]]

    @property
    def encoder_source(self) -> str | None:
        """Where the sentence encoder is: a hub id, or a path made absolute."""
        source = self.router.encoder
        return source if source is None or is_hub_id(source) else str(self.resolve(source))

    @property
    def own_router_weights(self) -> Path:
        """Where ``ailiance router fit`` writes, and serving looks first."""
        return self.resolve(self.router.weights or ROUTER_FILE)
