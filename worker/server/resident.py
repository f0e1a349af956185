"""What this worker serves: the base, its adapters, their digests and proofs. No arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleet.digest import fingerprint
from wire.errors import ModelNotFound


@dataclass(frozen=True)
class ResidentAdapter:
    """One adapter in a slot, as loaded and probed."""

    name: str
    format: str
    digest: str
    rank: int
    layers: int
    nbytes: int
    effect: float
    load_s: float


@dataclass(frozen=True)
class Served:
    """What answers one request: stated in headers, body and fingerprint alike."""

    model: str
    base: str
    base_digest: str
    adapter: str | None
    adapter_digest: str | None

    def body(self) -> dict[str, Any]:
        """The ``ailiance`` object, as far as the worker knows it."""
        return {
            "base": self.base,
            "base_digest": self.base_digest,
            "adapter": self.adapter,
            "adapter_digest": self.adapter_digest,
        }

    def headers(self) -> dict[str, str]:
        headers = {"x-ailiance-base": self.base, "x-ailiance-base-digest": self.base_digest}
        if self.adapter is not None and self.adapter_digest is not None:
            headers["x-ailiance-adapter"] = self.adapter
            headers["x-ailiance-adapter-digest"] = self.adapter_digest
        return headers

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.base_digest, self.adapter_digest)


@dataclass(frozen=True)
class Resident:
    """The base and all its resident adapters by name."""

    base: str
    root: str
    base_digest: str
    max_model_len: int
    vocabulary: int
    blas: str
    created: int
    adapters: Mapping[str, ResidentAdapter]

    def served(self, model: str, adapters: str | None) -> Served:
        """What a request for ``model`` gets. Raises ModelNotFound for any other name.

        ``base:adapter`` and mlx-lm's ``adapters`` field name an adapter beside the base.
        """
        wanted = model
        head, colon, tail = model.partition(":")
        if colon and head == self.base:
            wanted = tail
        if adapters is not None and wanted == self.base:
            wanted = adapters
        if wanted == self.base:
            return Served(model, self.base, self.base_digest, None, None)
        adapter = self.adapters.get(wanted)
        if adapter is None or (adapters is not None and adapters != wanted):
            raise ModelNotFound(f"the model '{adapters or model}' does not exist", param="model")
        return Served(model, self.base, self.base_digest, adapter.name, adapter.digest)

    def digests(self) -> dict[str | None, str]:
        """Digest by adapter name; None is the bare base."""
        return {None: self.base_digest, **{n: a.digest for n, a in self.adapters.items()}}
