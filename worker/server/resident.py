"""What this worker serves: the base, its adapters, their digests and proofs. No arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleet.digest import fingerprint
from wire.errors import InvalidRequest, ModelNotFound
from wire.requests import LoraPart
from worker.residency.adapters import AdapterVersion, Registry, compose


@dataclass(frozen=True)
class Served:
    """What answers one request: stated in headers, body and fingerprint alike.

    ``version`` None: the bare base. ``asked``: the parts of a composition, as the client named
    them; None: the request composes nothing.
    """

    model: str
    base: str
    base_digest: str
    version: AdapterVersion | None
    asked: tuple[tuple[AdapterVersion, float], ...] | None = None

    @property
    def adapter(self) -> str | None:
        return None if self.version is None else self.version.name

    @property
    def adapter_digest(self) -> str | None:
        return None if self.version is None else self.version.digest

    def body(self) -> dict[str, Any]:
        """The ``ailiance`` object, as far as the worker knows it."""
        body: dict[str, Any] = {
            "base": self.base,
            "base_digest": self.base_digest,
            "adapter": self.adapter,
            "adapter_digest": self.adapter_digest,
        }
        if self.asked is not None:
            body["adapters"] = [
                {"id": version.name, "scale": scale, "digest": version.digest}
                for version, scale in self.asked
            ]
        return body

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
    """The base, and by name all its adapters; what they are changes while it runs."""

    base: str
    root: str
    base_digest: str
    max_model_len: int
    vocabulary: int
    blas: str
    created: int
    registry: Registry
    slots: int

    @property
    def adapters(self) -> Mapping[str, AdapterVersion]:
        """A live view."""
        return self.registry.versions

    def served(
        self, model: str, adapters: str | None, lora: Sequence[LoraPart] | None = None
    ) -> Served:
        """What a request for ``model`` gets. Raises ModelNotFound for any other name.

        ``base:adapter`` and mlx-lm's ``adapters`` field name an adapter beside the base;
        llama.cpp's ``lora`` composes several, and then the model is the base.
        """
        wanted = model
        head, colon, tail = model.partition(":")
        if colon and head == self.base:
            wanted = tail
        if adapters is not None and wanted == self.base:
            wanted = adapters
        if lora is not None and wanted in self.adapters:
            raise InvalidRequest(
                f"lora composes adapters on a base, and this request names adapter '{wanted}' "
                f"besides; make model '{self.base}', and '{wanted}' one of lora",
                param="lora",
            )
        if wanted == self.base:
            return self._composed(model, lora)
        version = self.adapters.get(wanted)
        if version is None or (adapters is not None and adapters != wanted):
            raise ModelNotFound(f"the model '{adapters or model}' does not exist", param="model")
        return Served(model, self.base, self.base_digest, version)

    def _composed(self, model: str, lora: Sequence[LoraPart] | None) -> Served:
        bare = Served(model, self.base, self.base_digest, None)
        if lora is None:
            return bare
        asked: list[tuple[AdapterVersion, float]] = []
        for number, part in enumerate(lora):
            version = self.adapters.get(part.id)
            if version is None:
                raise ModelNotFound(
                    f"no adapter '{part.id}' is on base '{self.base}'", param=f"lora[{number}].id"
                )
            if version.dora:
                raise InvalidRequest(
                    f"adapter '{part.id}' is a DoRA, and its change is not one that can be added "
                    "up; name it alone, as the model",
                    param=f"lora[{number}].id",
                )
            asked.append((version, part.scale))
        # a scale of 0 turns an adapter off, as in llama.cpp
        parts = [(version, scale) for version, scale in asked if scale]
        alone = len(parts) == 1 and parts[0][1] == 1
        version = None if not parts else parts[0][0] if alone else compose(parts)
        return Served(model, self.base, self.base_digest, version, tuple(asked))
