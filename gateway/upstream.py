"""One base's server: our worker on a Unix socket, or any OpenAI server at a URL.

The only place where httpx and aiohttp errors are known; they leave as ``wire.errors``.
Never retries: a request whose bytes were sent may be running.
"""

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from wire.errors import (
    AilianceError,
    InvalidRequest,
    UpstreamError,
    UpstreamFailed,
    WorkerUnavailable,
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Longest waits, in seconds. The first byte waits for queue and prefill."""

    connect_s: float = 5.0
    first_byte_s: float = 600.0
    between_chunks_s: float = 120.0
    probe_s: float = 1.0


def always_available() -> WorkerUnavailable | None:
    """For servers that are not supervised here."""
    return None


class Upstream:
    """Sends requests to the server of one base."""

    def __init__(
        self,
        base: str,
        *,
        url: str = "http://worker",
        uds: str | None = None,
        timeouts: Timeouts | None = None,
        unavailable: Callable[[], WorkerUnavailable | None] = always_available,
    ) -> None:
        self.base = base
        self.timeouts = timeouts or Timeouts()
        self._unavailable = unavailable
        self._max_model_len: int | None = None
        self._urls: dict[str, httpx.URL] = {}  # parsed once: the paths are our own routes
        self._url = url.rstrip("/").removesuffix("/v1")
        # 0 is no limit; None would become aiohttp's 100. Keepalive below the 5 s of uvicorn's
        # (also vLLM's): a connection about to be closed there must not carry a request.
        limits = httpx.Limits(max_connections=0, keepalive_expiry=2.0)
        self._transport = AiohttpTransport(uds=uds, limits=limits, verify=uds is None)
        wait = self.timeouts
        self._long = {"connect": wait.connect_s, "read": wait.first_byte_s, "pool": None}
        self._short = {"connect": wait.probe_s, "read": wait.probe_s, "pool": wait.probe_s}

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """The opened response, its body unread; the caller closes it.

        Raises WorkerUnavailable before a byte of an answer, UpstreamError for an error
        envelope, UpstreamFailed for anything else that is no answer.
        """
        missing = self._unavailable()
        if missing is not None:
            raise missing
        request = httpx.Request(
            "POST",
            self._urls.get(path) or self._urls.setdefault(path, httpx.URL(self._url + path)),
            content=body,
            headers={"content-type": "application/json", "accept-encoding": "identity"} | headers,
            extensions={"timeout": self._long},
        )
        with self.mapped():
            response = await self._transport.handle_async_request(request)
        if response.status_code == 200:
            return response
        try:
            raise await self._refusal(response)
        finally:
            await response.aclose()

    async def read(self, response: httpx.Response) -> bytes:
        """The whole body of a plain answer; closes the response, also when cancelled."""
        try:
            with self.mapped():
                return await response.aread()
        finally:
            await response.aclose()

    async def probe(self, path: str) -> httpx.Response | None:
        """A short GET with its body read; None when there is no answer in time."""
        request = httpx.Request("GET", self._url + path, extensions={"timeout": self._short})
        try:
            async with asyncio.timeout(self.timeouts.probe_s):
                response = await self._transport.handle_async_request(request)
                try:
                    await response.aread()
                finally:
                    await response.aclose()
        except (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError):
            return None
        return response

    async def max_model_len(self) -> int | None:
        """The context length its ``/v1/models`` reports; asked once, then remembered."""
        if self._max_model_len is None and self._unavailable() is None:
            response = await self.probe("/v1/models")
            if response is not None and response.status_code == 200:
                self._max_model_len = _max_model_len_in(response.content)
        return self._max_model_len

    async def aclose(self) -> None:
        await self._transport.aclose()

    @contextmanager
    def mapped(self) -> Generator[None]:
        """Foreign errors in, ours out."""
        try:
            yield
        except (httpx.HTTPError, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> AilianceError:
        # httpx-aiohttp 0.2 reports a refused connection as ConnectTimeout: its cause is exact
        cause = error.__cause__ if isinstance(error, httpx.HTTPError) else error
        if isinstance(cause, aiohttp.ClientPayloadError):
            return UpstreamFailed(f"base '{self.base}' broke off in the middle of its answer")
        if isinstance(cause, aiohttp.ServerTimeoutError | TimeoutError) and not isinstance(
            cause, aiohttp.ConnectionTimeoutError
        ):
            return UpstreamFailed(f"base '{self.base}' did not answer in time")
        if isinstance(cause, aiohttp.ClientConnectionError | OSError):
            missing = self._unavailable()
            return missing or WorkerUnavailable(
                f"base '{self.base}' can't be reached; try again", retry_after_s=1.0
            )
        return UpstreamFailed(f"base '{self.base}' sent no valid answer")

    async def _refusal(self, response: httpx.Response) -> AilianceError:
        status = response.status_code
        with self.mapped():
            raw = await response.aread()
        error = _error_of(raw)
        if status in (401, 403):
            return UpstreamFailed(f"base '{self.base}' refused the gateway's credentials")
        if error is None:
            if status < 500:
                return InvalidRequest(f"base '{self.base}' refused the request ({status})")
            return UpstreamFailed(f"base '{self.base}' failed ({status})")
        passed_on = UpstreamError(status, error)
        passed_on.retry_after_s = _seconds(response.headers.get("retry-after"))
        return passed_on


class Chunks:
    """The body of an opened response as it comes, with a limit on each wait."""

    def __init__(self, upstream: Upstream, response: httpx.Response) -> None:
        self._upstream = upstream
        self._response = response
        self._bytes = response.aiter_raw()
        self._wait: asyncio.Timeout | None = None
        self._stopped = False

    def __aiter__(self) -> "Chunks":
        return self

    async def __anext__(self) -> bytes:
        """Raises UpstreamFailed where the body breaks, WorkerUnavailable after ``stop``."""
        if self._stopped:
            raise _closing()
        try:
            with self._upstream.mapped():
                async with asyncio.timeout(self._upstream.timeouts.between_chunks_s) as self._wait:
                    return await anext(self._bytes)
        except UpstreamFailed:
            if self._stopped:
                raise _closing() from None
            raise
        finally:
            self._wait = None

    def stop(self) -> None:
        """End the wait now: the gateway shuts down."""
        self._stopped = True
        if self._wait is not None:
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def aclose(self) -> None:
        """Closes the connection of an unfinished body, which tells the worker to cancel."""
        await self._response.aclose()


def _closing() -> WorkerUnavailable:
    return WorkerUnavailable("the gateway is shutting down; try again", retry_after_s=5.0)


def _error_of(raw: bytes) -> dict[str, Any] | None:
    """OpenAI's envelope, or the flat form that older vLLM sends; None for anything else."""
    try:
        body: Any = json.loads(raw)
    except ValueError:
        return None
    return error_in(body)


def error_in(body: Any) -> dict[str, Any] | None:
    """The error object of a parsed body or event, if it is one."""
    if not isinstance(body, dict):
        return None
    found = cast(dict[str, Any], body)
    error = found.get("error")
    if isinstance(error, dict):
        return cast(dict[str, Any], error)
    if isinstance(error, str):
        return {"message": error, "type": "server_error"}
    if found.get("object") == "error" and "message" in found:
        return found
    return None


def _max_model_len_in(raw: bytes) -> int | None:
    try:
        found = [entry.get("max_model_len") for entry in json.loads(raw)["data"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return next((length for length in found if isinstance(length, int)), None)


def _seconds(value: str | None) -> float | None:
    try:
        return float(value) if value is not None else None
    except ValueError:
        return None
