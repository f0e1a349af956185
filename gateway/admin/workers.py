"""What is asked of one worker: load, unload, list. Its refusals pass as they come."""

import json
from typing import Any, cast

from gateway.upstream import Upstream
from wire.errors import AilianceError, WorkerUnavailable, http_status


async def load(upstream: Upstream, name: str, source: str) -> None:
    """Loads, or replaces what has that name there: the gateway knows which of the two it is.

    Raises UpstreamError with the worker's reason, WorkerUnavailable, UpstreamFailed.
    """
    asked = {"lora_name": name, "lora_path": source, "load_inplace": True}
    await _post(upstream, "/v1/load_lora_adapter", asked)


async def unload(upstream: Upstream, name: str) -> None:
    """A worker that has no such adapter, or does not run, need not unload it."""
    try:
        await _post(upstream, "/v1/unload_lora_adapter", {"lora_name": name})
    except WorkerUnavailable:
        return
    except AilianceError as error:
        if http_status(error) != 404:
            raise


async def listed(upstream: Upstream) -> dict[str, dict[str, Any]] | None:
    """Name -> what the worker says of it; None where it does not say within a second."""
    response = await upstream.probe("/v1/adapters")
    if response is None or response.status_code != 200:
        return None
    try:
        entries: Any = response.json()["data"]
        return {str(entry["name"]): cast(dict[str, Any], entry) for entry in entries}
    except (ValueError, TypeError, KeyError):
        return None


async def check(upstream: Upstream, names: list[str]) -> None:
    """Have adapters checked that were not yet, which may take minutes.

    Raises UpstreamError, WorkerUnavailable, UpstreamFailed.
    """
    await _post(upstream, "/v1/adapters/check", {"lora_names": names})


async def _post(upstream: Upstream, path: str, body: dict[str, Any]) -> None:
    response = await upstream.post(path, json.dumps(body).encode(), {})
    await upstream.read(response)
