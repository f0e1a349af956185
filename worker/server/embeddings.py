"""``POST /v1/embeddings`` of the worker: the base's own vectors, one pass at a time.

Each pass is a job between two steps of the engine, so the rows that are being generated go
on meanwhile. Refuses adapters, other sizes than the model's, and what is too long: nothing
is cut off.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from fastapi import FastAPI, Request, Response

from wire.embeddings import MAX_TOTAL_TOKENS, EmbeddingRequest, embedding_body, parse_embedding
from wire.errors import ContextTooLong, EngineFailed, InvalidRequest
from wire.sse import dumps
from worker.embedding import Embedder, Embedding
from worker.engine.admission import Load
from worker.prompt.prompter import Prompter
from worker.server.resident import Resident, Served
from worker.server.streaming import unless_disconnected

T = TypeVar("T")
B = TypeVar("B")
R = TypeVar("R")
INLINE_BYTES = 16 << 10
INLINE_NUMBERS = 4096


class JobRunner(Protocol):
    """The engine, as far as embeddings need it."""

    async def run(self, job: Callable[[], T]) -> T: ...


def add_routes(app: FastAPI, embeddings: "Embeddings") -> None:
    @app.post("/v1/embeddings")
    async def create_embedding(request: Request) -> Response:
        raw = await request.body()
        answer = await unless_disconnected(embeddings.answer(raw), request.receive)
        # None: the client is gone, and reads no answer
        return answer or Response(status_code=204)


class Embeddings:
    """Answers for one base; ``embedder`` None: it serves none. Belongs to the event loop."""

    def __init__(
        self,
        jobs: JobRunner,
        resident: Resident,
        prompter: Prompter,
        embedder: Embedder | None,
        max_queue: int,
    ) -> None:
        self._jobs = jobs
        self._resident = resident
        self._prompter = prompter
        self._embedder = embedder
        self._max_queue = max_queue
        self._load = Load()

    async def answer(self, raw: bytes) -> Response:
        """Raises InvalidRequest, ModelNotFound, Overloaded, EngineFailed.

        Cancelled, it ends after the pass that is running.
        """
        request = await _off_loop(len(raw) > INLINE_BYTES, parse_embedding, raw)
        served, embedder = self._served(request.model), self._checked(request)
        tokens = await _off_loop(len(raw) > INLINE_BYTES, self._tokens, request)
        vectors = await self._counted(embedder, tokens)
        used = sum(map(len, tokens))

        def write(vectors: list[list[float]]) -> bytes:
            body = embedding_body(served.model, vectors, request.encoding_format, used)
            return dumps(body | {"ailiance": served.body()}).encode()

        answer = await _off_loop(len(vectors) * embedder.size > INLINE_NUMBERS, write, vectors)
        return Response(answer, media_type="application/json", headers=served.headers())

    def _served(self, model: str) -> Served:
        served = self._resident.served(model, None)
        if served.adapter is not None:
            raise InvalidRequest(
                f"'{model}' is an adapter, and embeddings are those of its base; "
                f"name '{served.base}'",
                param="model",
            )
        return served

    def _checked(self, request: EmbeddingRequest) -> Embedder:
        base, embedder = self._resident.base, self._embedder
        if embedder is None:
            raise InvalidRequest(
                f"base '{base}' serves no embeddings; set bases.{base}.embeddings: true",
                param="model",
            )
        if request.dimensions not in (None, embedder.size):
            raise InvalidRequest(
                f"embeddings of base '{base}' have {embedder.size} dimensions, and a part of "
                f"one means nothing; leave dimensions out",
                param="dimensions",
            )
        return embedder

    def _tokens(self, request: EmbeddingRequest) -> list[list[int]]:
        """Token ids of each input, all within the limits."""
        tokens = [
            self._encode(given, request.param_of(index))
            for index, given in enumerate(request.inputs)
        ]
        total = sum(map(len, tokens))
        if total > MAX_TOTAL_TOKENS:
            raise InvalidRequest(
                f"the inputs have {total} tokens, and one request may have {MAX_TOTAL_TOKENS}; "
                "send them in several",
                param="input",
                code="max_tokens_per_request",
            )
        return tokens

    def _encode(self, given: str | list[int], param: str) -> list[int]:
        if isinstance(given, str):
            tokens = self._prompter.encode(given, special=True)
        else:
            tokens = given
            self._prompter.check_ids(tokens, param)
        limit = self._resident.max_model_len
        if not tokens:
            raise InvalidRequest(f"{param} has no tokens", param=param)
        if len(tokens) > limit:
            raise ContextTooLong(
                f"this model's context is {limit} tokens, and {param} has {len(tokens)}; "
                "shorten or split it",
                param=param,
            )
        return tokens

    async def _counted(self, embedder: Embedder, tokens: list[list[int]]) -> list[list[float]]:
        """The vectors; the request counts as running meanwhile. Raises Overloaded."""
        self._load = self._load.admit(1, self._max_queue)
        start_s, took_s = time.monotonic(), None
        try:
            vectors = [await self._vector(embedder.start(ids)) for ids in tokens]
            took_s = time.monotonic() - start_s
        finally:
            self._load = self._load.end(took_s)
        return vectors

    async def _vector(self, embedding: Embedding) -> list[float]:
        while True:
            vector = await self._jobs.run(embedding.step)
            if vector is None:
                continue
            if not all(map(math.isfinite, vector)):
                raise EngineFailed("the base gave an embedding that is not finite")
            return vector


async def _off_loop(slow: bool, work: Callable[[B], R], given: B) -> R:
    """Slow work is done on another thread, so that it holds up no other request."""
    return await asyncio.to_thread(work, given) if slow else work(given)
