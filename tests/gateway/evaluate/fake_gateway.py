"""A gateway as far as measuring needs one: letters are tokens, the adapter knows the answers."""

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BASE, ADAPTER = "ai-one", "ai-one-law"
MODELS: list[dict[str, Any]] = [
    {"id": "ai", "root": "ai", "parent": None},
    {"id": BASE, "root": "m", "parent": None},
    {"id": "ai-one-auto", "root": "ai-one-auto", "parent": BASE},
    {"id": ADAPTER, "root": "law-lora", "parent": BASE},
    {"id": "ai-two-law", "root": "law-lora-2", "parent": "ai-two"},
    {"id": "ai-two-tax", "root": "tax-lora", "parent": "ai-two"},
    {"id": "jurist", "root": "law-lora", "parent": BASE},
]


class FakeGateway:
    """``answers`` are what the adapter says to each prompt; the base always says "no"."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.context = 100
        self.answered_by: str | None = None  # instead of what was asked for
        self.digests = iter(())
        self.most_rows = 0
        self.rows = 0
        self.asked: list[dict[str, Any]] = []

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self.models),
                Route("/tokenize", self.tokenize, methods=["POST"]),
                Route("/v1/completions", self.score, methods=["POST"]),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
            ]
        )

    async def models(self, _: Request) -> Response:
        return JSONResponse({"object": "list", "data": MODELS})

    async def tokenize(self, request: Request) -> Response:
        body = await request.json()
        text = f"<{body['messages'][-1]['content']}>" if "messages" in body else body["prompt"]
        return JSONResponse({"tokens": list(map(ord, text)), "max_model_len": self.context})

    async def score(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        prompt = "".join(map(chr, body["prompt"]))
        answer = prompt.partition(">")[2]
        each = -0.1 if body["model"] == ADAPTER and answer in self.answers.values() else -2.0
        found = [None] + [-7.0] * (len(prompt) - len(answer) - 1) + [each] * len(answer)
        return await self._answer(body, {"text": "", "logprobs": {"token_logprobs": found}})

    async def chat(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        prompt = body["messages"][-1]["content"]
        said = self.answers[prompt] if body["model"] == ADAPTER else "no"
        return await self._answer(body, {"message": {"content": f" {said}\n"}})

    async def _answer(self, body: dict[str, Any], choice: dict[str, Any]) -> Response:
        self.rows += 1
        self.most_rows = max(self.rows, self.most_rows)
        await asyncio.sleep(0)
        self.rows -= 1
        model = self.answered_by or body["model"]
        told = {"model": model, "adapter": "law" if model == ADAPTER else None}
        told |= {"base_digest": "b" * 64, "adapter_digest": next(self.digests, None)}
        return JSONResponse({"choices": [choice], "ailiance": told})
