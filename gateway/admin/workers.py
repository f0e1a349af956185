"""What is asked of one worker: fetch, load, unload, list. Its refusals pass as they come."""

import json
from typing import Any, cast

import httpx

from gateway.upstream import Upstream
from wire.errors import AilianceError, WorkerUnavailable, http_status

DIGEST = "x-ailiance-adapter-digest"
LIST_TRIES = 3


async def fetch(upstream: Upstream, name: str, source: str) -> None:
    """Has the files of a hub id downloaded; nothing is loaded, and what is loaded goes on.

    Raises UpstreamError with the worker's reason, WorkerUnavailable, UpstreamFailed.
    """
    await _post(upstream, "/v1/fetch_lora_adapter", {"lora_name": name, "lora_path": source})


async def load(
    upstream: Upstream, name: str, source: str, *, pinned: bool | None = None
) -> str | None:
    """Loads, or replaces what has that name there: the gateway knows which of the two it is.

    ``pinned`` None: as it was. Returns the digest that the worker tells. Raises UpstreamError with
    the worker's reason, WorkerUnavailable, UpstreamFailed.
    """
    asked: dict[str, Any] = {"lora_name": name, "lora_path": source, "load_inplace": True}
    if pinned is not None:
        asked["pinned"] = pinned
    return (await _post(upstream, "/v1/load_lora_adapter", asked)).get(DIGEST)


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


async def check(upstream: Upstream, name: str) -> None:
    """Have an adapter checked that was not yet, which may take minutes.

    Raises UpstreamError, WorkerUnavailable, UpstreamFailed.
    """
    await _post(upstream, "/v1/adapters/check", {"lora_names": [name]})


async def digests(upstream: Upstream) -> dict[str, str]:
    """Name -> digest of what it has loaded; nothing where it does not say."""
    for _ in range(LIST_TRIES):
        if (found := await listed(upstream)) is not None:
            told = {name: entry.get("digest") for name, entry in found.items()}
            return {name: digest for name, digest in told.items() if isinstance(digest, str)}
    return {}


async def _post(upstream: Upstream, path: str, body: dict[str, Any]) -> httpx.Headers:
    response = await upstream.post(path, json.dumps(body).encode(), {})
    await upstream.read(response)
    return response.headers
