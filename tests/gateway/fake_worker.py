"""A small OpenAI server that speaks the worker's contract: deterministic tokens, faults on demand.

The prompt says what happens (``Script``): the test writes it as the last user message, in
JSON. Everything the server sees is kept in ``events``. It loads any adapter but one whose source
holds "bad", and ends where it holds "deadly". ``python fake_worker.py --uds PATH``
runs it as a process, for the supervisor's tests.
"""

import argparse
import asyncio
import hashlib
import json
import os
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.gateway import bodies
from wire.responses import Envelope, Usage
from wire.sse import DONE, dumps, encode_data

DIGESTS = {"apertus": "a" * 64, "devstral": "d" * 64, "electronics": "e" * 64, "python": "b" * 64}
ADAPTERS = {"electronics": "apertus", "power": "apertus", "python": "devstral"}

CHECK = {
    "status": "ok",
    "reason": None,
    "examples": 3,
    "perplexity": 1.5,
    "base_perplexity": 9.0,
    "loop": None,
}


@dataclass
class Fake:
    """State of one fake worker: what it is, what it saw, the events tests wait for."""

    base: str = "apertus"
    reports: bool = True
    model_in_answer: str | None = None
    folded: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    adapters: dict[str, str] = field(default_factory=dict)
    """Name -> source of what is loaded now."""
    pinned: set[str] = field(default_factory=set)
    fetched: list[str] = field(default_factory=list)
    changes: list[tuple[str, ...]] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.models),
                Route("/metrics", self.metrics),
                Route("/v1/chat/completions", self.generate, methods=["POST"]),
                Route("/v1/completions", self.generate, methods=["POST"]),
                Route("/v1/fetch_lora_adapter", self.fetch, methods=["POST"]),
                Route("/v1/load_lora_adapter", self.load, methods=["POST"]),
                Route("/v1/unload_lora_adapter", self.unload, methods=["POST"]),
                Route("/v1/adapters", self.listed),
                Route("/v1/adapters/check", self.check, methods=["POST"]),
            ]
        )

    async def fetch(self, request: Request) -> Response:
        body = await request.json()
        self.fetched.append(body["lora_path"])
        self.started.set()
        if "slow" in body["lora_path"]:
            await self.go_on.wait()
        if "gone" in body["lora_path"]:
            return _refusal(400, "the hub has no repository", "InvalidUserInput")
        return PlainTextResponse("Success: its files are here.")

    async def load(self, request: Request) -> Response:
        body = await request.json()
        name, source = body["lora_name"], body["lora_path"]
        self.changes.append(("load", name, source))
        if "deadly" in source:
            os._exit(9)
        if "bad" in source:
            return _refusal(400, "rank 8 is not 16", "InvalidUserInput")
        if name in self.adapters and not body["load_inplace"]:
            return _refusal(400, "has already been loaded", "InvalidUserInput")
        self.adapters[name] = source
        if (pinned := body.get("pinned")) is not None:
            (self.pinned.add if pinned else self.pinned.discard)(name)
        text = f"Success: LoRA adapter '{name}' added successfully."
        return PlainTextResponse(text, headers={"x-ailiance-adapter-digest": digest_of(source)})

    async def unload(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        self.changes.append(("unload", name))
        if self.adapters.pop(name, None) is None:
            return _refusal(404, "cannot be found", "NotFoundError")
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def check(self, request: Request) -> Response:
        names = (await request.json())["lora_names"]
        if not set(names) <= set(self.adapters):
            return _refusal(404, "cannot be found", "NotFoundError")
        self.checked += names
        return await self.listed(request)

    async def listed(self, _: Request) -> Response:
        data = [
            {
                "name": name,
                "base": self.base,
                "format": "peft",
                "rank": 16,
                "targets": ["q_proj"],
                "layers": 2,
                "bytes": 64,
                "digest": digest_of(source),
                "effect": 1.5,
                "tier": "slot",
                "pinned": name in self.pinned,
                "check": CHECK if name in self.checked else None,
            }
            for name, source in self.adapters.items()
        ]
        return JSONResponse({"object": "list", "data": data})

    async def health(self, _: Request) -> Response:
        return JSONResponse({"status": "ok", "base": self.base, "max_model_len": 512})

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": self.base, "max_model_len": 512}]})

    async def metrics(self, _: Request) -> Response:
        return PlainTextResponse(
            "# HELP vllm:num_requests_running Rows.\n# TYPE vllm:num_requests_running gauge\n"
            f'vllm:num_requests_running{{model_name="{self.base}"}} 3\n'
            "# HELP ailiance_cancelled_total Cancelled.\n# TYPE ailiance_cancelled_total counter\n"
            f'ailiance_cancelled_total{{stage="decode",base="{self.base}"}} 2\n'
            "# TYPE process_open_fds gauge\nprocess_open_fds 9\n"
        )

    async def generate(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        script = script_of(body)
        self.started.set()
        if "status" in script:
            return JSONResponse(
                script.get("body", {"error": {"message": "no", "type": "t", "code": "c"}}),
                status_code=script["status"],
                headers=script.get("headers"),
            )
        kind = "chat" if "messages" in body else "text"
        base_digest = DIGESTS[self.base]
        adapter = body["model"] if body["model"] in {**ADAPTERS, **self.adapters} else None
        source = self.adapters.get(adapter or "")
        parts = body.get("lora", [])
        if parts:
            adapter = "+".join(f"{part['id']}*{part['scale']:g}" for part in parts)
        report = {
            "base": self.base,
            "base_digest": base_digest,
            "adapter": adapter,
            "adapter_digest": digest_of(source) if source else DIGESTS.get(adapter or ""),
            "folded": self.folded,
        }
        if parts:
            report["adapters"] = [part | {"digest": DIGESTS.get(part["id"])} for part in parts]
        envelope = Envelope.new(kind, self.model_in_answer or body["model"], "fp_x")
        if body.get("stream"):
            return StreamingResponse(
                self._stream(envelope, report, body, script),
                media_type="text/event-stream",
                headers=self._report_headers(report),
            )
        if script.get("wait"):
            await self._wait_for_disconnect(request)
        if script.get("die"):
            os._exit(9)
        answer = bodies.plain(envelope, "".join(script["tokens"]), Usage(3, len(script["tokens"])))
        if self.reports:
            answer["ailiance"] = report
        return JSONResponse(script.get("answer", answer), headers=self._report_headers(report))

    def _report_headers(self, report: dict[str, Any]) -> dict[str, str]:
        if not self.reports:
            return {}
        names = {"base": "base", "adapter": "adapter", "adapter_digest": "adapter-digest"}
        headers = {f"x-ailiance-{names[k]}": report[k] for k in names if report[k]}
        return headers | ({"x-ailiance-folded": ",".join(self.folded)} if self.folded else {})

    async def _wait_for_disconnect(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.cancelled.set()

    async def _stream(
        self, envelope: Envelope, report: dict[str, Any], body: dict[str, Any], script: Any
    ) -> AsyncIterator[bytes]:
        try:
            null = (
                {"usage": None} if (body.get("stream_options") or {}).get("include_usage") else {}
            )
            first = bodies.first(envelope) | null
            if self.reports:
                first["ailiance"] = report
            yield encode_data(dumps(first))
            for index, token in enumerate(script["tokens"]):
                if index == script.get("hold_at"):
                    await self.go_on.wait()
                if index == script.get("die_at"):
                    os._exit(9)
                if index == script.get("break_at"):
                    raise ConnectionResetError
                if index == script.get("end_at"):
                    return
                if index == script.get("error_at"):
                    error = {"message": "boom", "type": "server_error", "code": "engine_failed"}
                    yield encode_data(dumps({"error": error | {"param": None}}))
                    return
                yield encode_data(dumps(bodies.delta(envelope, token) | null))
            yield encode_data(dumps(bodies.last(envelope) | null))
            if (body.get("stream_options") or {}).get("include_usage"):
                yield encode_data(dumps(envelope.usage(Usage(3, len(script["tokens"])))))
            yield encode_data(DONE)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def digest_of(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def _refusal(status: int, message: str, code: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return JSONResponse({"error": error}, status_code=status)


def adapters_in(config: Path, base: str) -> dict[str, str]:
    """What a worker of that base loads at its start."""
    adapters = yaml.safe_load(config.read_text("utf-8")).get("adapters", {})
    return {n: str(config.parent / a["source"]) for n, a in adapters.items() if a["base"] == base}


def script_of(body: dict[str, Any]) -> dict[str, Any]:
    text = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    script = json.loads(text) if isinstance(text, str) and text.startswith("{") else {}
    return {"tokens": ["Hello", " wor", "ld"]} | script


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    import uvicorn  # noqa: PLC0415

    parser = argparse.ArgumentParser()
    parser.add_argument("--uds", required=True)
    parser.add_argument("--base", default="apertus")
    parser.add_argument("--config")
    parser.add_argument("--exit-code", type=int)
    parser.add_argument("--exit-with-parent", action="store_true")
    options = parser.parse_args()
    if options.exit_code is not None:
        print("adapter 'x': wrong shapes; retrain it")
        sys.exit(options.exit_code)
    if options.exit_with_parent:
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    print(f"fake worker of {options.base} up")
    sys.stdout.flush()
    loaded = adapters_in(Path(options.config), options.base) if options.config else {}
    uvicorn.run(Fake(options.base, adapters=loaded).app(), uds=options.uds, log_level="error")


if __name__ == "__main__":
    main()
