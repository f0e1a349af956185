"""The worker's endpoints. One engine, one base; refuses any name it does not serve."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from wire.errors import (
    AilianceError,
    EngineFailed,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    WorkerUnavailable,
    http_status,
)
from wire.requests import ChatRequest, CompletionRequest, parse_chat, parse_completion
from wire.responses import Envelope, model_entry, model_list
from worker.engine.engine import Engine
from worker.residency.paging import Paging
from worker.server import adapters, embeddings
from worker.server.adapters import Adapters
from worker.server.answers import Answer, plain_body, stream_chunks
from worker.server.embeddings import Embeddings
from worker.server.plans import Plan, Planner
from worker.server.resident import Resident, Served
from worker.server.streaming import EventStream, JsonAnswer
from worker.server.tokens import Tokens

AsgiAnswer = EventStream | JsonAnswer
P = ParamSpec("P")
R = TypeVar("R")
INLINE_BYTES = 16 << 10


@dataclass(frozen=True)
class Service:
    """What the endpoints work with, once the engine is loaded."""

    engine: Engine
    resident: Resident
    planner: Planner
    embeddings: Embeddings
    adapters: Adapters
    paging: Paging
    metrics: Callable[[], bytes]


def build_app(service: Service) -> FastAPI:
    """The worker's ASGI app over a loaded engine."""
    app = FastAPI(title="ailiance worker", docs_url=None, redoc_url=None, openapi_url=None)
    _errors(app)
    _facts(app, service)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Any:
        raw = await request.body()
        body = parse_chat(raw)
        served = service.resident.served(body.model, body.adapters, body.lora)
        slow = len(raw) >= INLINE_BYTES or body.tools or body.constraint()
        with service.resident.registry.bound(served.version):
            plan = await _off_loop(bool(slow), service.planner.chat, body, served)
            envelope = Envelope.new("chat", served.model, served.fingerprint, _tier(body))
            return _answer(service, body, served, plan, envelope)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Any:
        raw = await request.body()
        body = parse_completion(raw)
        served = service.resident.served(body.model, body.adapters, body.lora)
        slow = len(raw) >= INLINE_BYTES or body.constraint()
        with service.resident.registry.bound(served.version):
            plan = await _off_loop(bool(slow), service.planner.completion, body, served)
            envelope = Envelope.new("text", served.model, served.fingerprint)
            return _answer(service, body, served, plan, envelope)

    _tokens(app, Tokens(service.planner.prompter, service.resident))
    embeddings.add_routes(app, service.embeddings)
    adapters.add_routes(app, service.adapters)
    return app


def _tokens(app: FastAPI, tokens: Tokens) -> None:
    @app.post("/tokenize")
    async def tokenize(request: Request) -> Response:
        raw = await request.body()
        answer = await _off_loop(len(raw) >= INLINE_BYTES, tokens.tokenize, raw)
        return Response(answer, media_type="application/json")

    @app.post("/detokenize")
    async def detokenize(request: Request) -> Response:
        raw = await request.body()
        answer = await _off_loop(len(raw) >= INLINE_BYTES, tokens.detokenize, raw)
        return Response(answer, media_type="application/json")


async def _off_loop(slow: bool, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Slow work is done on another thread, so that it holds up no other request."""
    if not slow:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def _tier(body: ChatRequest) -> str | None:
    # there is one tier here, and only who asks is told
    return None if body.service_tier is None else "default"


def _answer(
    service: Service,
    body: ChatRequest | CompletionRequest,
    served: Served,
    plan: Plan,
    envelope: Envelope,
) -> "Bridge":
    service.paging.check_fits(plan.requests)
    answer = Answer(
        envelope=envelope,
        choices=plan.choices,
        generations=service.engine.generate_all(plan.requests),
        rows_per_prompt=plan.rows_per_prompt,
        texts=service.planner.texts,
        head={"ailiance": {**served.body(), "folded": list(plan.folded), "ai_generated": True}},
    )
    headers = served.headers()
    headers["x-ailiance-ai-generated"] = "true"  # Article 50(2) of the EU AI Act
    if plan.folded:
        headers["x-ailiance-folded"] = ",".join(plan.folded)
    if body.stream:
        usage = body.stream_options is not None and body.stream_options.include_usage
        return Bridge(EventStream(stream_chunks(answer, usage), headers, answer.close))
    return Bridge(JsonAnswer(plain_body(answer), headers, answer.close))


class Bridge(Response):
    """Lets FastAPI return one of our ASGI answers."""

    def __init__(self, answer: AsgiAnswer) -> None:
        super().__init__()
        self._answer = answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._answer(scope, receive, send)


def _facts(app: FastAPI, service: Service) -> None:
    resident = service.resident

    @app.get("/health")
    async def health() -> JSONResponse:
        if service.engine.dead:
            raise WorkerUnavailable("the engine has stopped", retry_after_s=1.0)
        return JSONResponse(
            {
                "status": "ok",
                "base": resident.base,
                "base_digest": resident.base_digest,
                "max_model_len": resident.max_model_len,
                "blas": resident.blas,
            }
        )

    @app.get("/v1/models")
    async def models() -> JSONResponse:
        return JSONResponse(model_list([_entry(resident, n) for n in _names(resident)]))

    @app.get("/v1/models/{name}")
    async def model(name: str) -> JSONResponse:
        resident.served(name, None)
        return JSONResponse(_entry(resident, name))

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(service.metrics(), media_type="text/plain; version=0.0.4")


def _names(resident: Resident) -> list[str]:
    return [resident.base, *resident.adapters]


def _entry(resident: Resident, name: str) -> dict[str, Any]:
    return model_entry(
        name,
        created=resident.created,
        owned_by="ailiance",
        root=resident.root if name == resident.base else name,
        parent=None if name == resident.base else resident.base,
        max_model_len=resident.max_model_len,
    )


def _errors(app: FastAPI) -> None:
    @app.exception_handler(AilianceError)
    async def known(_: Request, error: AilianceError) -> JSONResponse:
        return _envelope(error)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> JSONResponse:
        return _envelope(_from_http(error))

    @app.exception_handler(Exception)
    async def unknown(_: Request, __: Exception) -> JSONResponse:
        return _envelope(EngineFailed("internal error"))


def _from_http(error: HTTPException) -> AilianceError:
    if error.status_code == 404:
        return NotFound("no such path")
    if error.status_code == 405:
        return MethodNotAllowed("this path does not take that method")
    return InvalidRequest(str(error.detail))


def _envelope(error: AilianceError) -> JSONResponse:
    return JSONResponse(error.envelope(), http_status(error), error.headers())
