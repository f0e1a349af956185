"""Ask a running gateway: for token ids, for the log-probability of an answer, for an answer.

What it is told is checked: an answer that another adapter gave, or another version of it, ends
the measurement.
"""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import httpx

from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.figures import Outcome
from gateway.evaluate.records import Record

WAIT_S = 600.0
SPARE_TOKENS = 16
"""An answer as long as the reference can be told from a longer one."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured: its public name, and whether an adapter is to answer to it."""

    model: str
    is_adapter: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """The base and its adapter; ``name`` is the adapter's in the fleet file."""

    base: Subject
    adapter: Subject
    name: str


class Asking:
    """One gateway. ``digests``: what answered to each public name, by the gateway's report."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.digests: dict[str, tuple[str | None, str | None]] = {}

    async def find(self, adapter: str, base: str | None = None) -> Pair:
        """The adapter of a short or public name, and its base. Raises EvaluationError."""
        entries = (await self._ask("GET", "/v1/models"))["data"]
        adapters = {each["id"]: each["parent"] for each in entries if _is_adapter(each)}
        matching = {
            name: parent
            for name, parent in adapters.items()
            if adapter in (name, name.removeprefix(f"{parent}-"))
            and (base is None or parent == base or parent.endswith(f"-{base}"))
        }
        if len(matching) != 1:
            known = ", ".join(matching or adapters) or "none"
            what = "is on several bases; name one with --base:" if matching else "is not served:"
            raise EvaluationError(f"adapter '{adapter}' {what} {known}")
        ((name, parent),) = matching.items()
        return Pair(Subject(parent, False), Subject(name, True), name.removeprefix(f"{parent}-"))

    async def measure(self, pair: Pair, record: Record) -> tuple[Outcome, Outcome]:
        """Base and adapter on one record, at the same time. Raises EvaluationError."""
        # of the base: adapters have no tokenizer of their own
        told = await self._ask("POST", "/tokenize", {"model": pair.base.model} | _asked(record))
        prompt: list[int] = told["tokens"]
        asked = {"model": pair.base.model, "prompt": record.answer, "add_special_tokens": False}
        answer: list[int] = (await self._ask("POST", "/tokenize", asked))["tokens"]
        room = told["max_model_len"] - len(prompt)
        if not answer or len(answer) > room:
            raise EvaluationError(
                f"an answer of {len(answer)} tokens after a prompt of {len(prompt)}; the context "
                f"has {told['max_model_len']}"
            )
        most = min(2 * len(answer) + SPARE_TOKENS, room)
        base, adapter = await asyncio.gather(
            self._outcome(pair.base, record, prompt, answer, most),
            self._outcome(pair.adapter, record, prompt, answer, most),
        )
        return base, adapter

    async def _outcome(
        self, subject: Subject, record: Record, prompt: list[int], answer: list[int], most: int
    ) -> Outcome:
        logprob, text = await asyncio.gather(
            self._logprob(subject, prompt, answer), self._greedy(subject, record, most)
        )
        return Outcome(text.strip() == record.answer.strip(), logprob, len(answer))

    async def _logprob(self, subject: Subject, prompt: list[int], answer: list[int]) -> float:
        asked = {"prompt": prompt + answer, "echo": True, "logprobs": 0, "max_tokens": 0}
        choice = await self._generated(subject, "/v1/completions", asked)
        found = choice["logprobs"]["token_logprobs"]
        if len(found) != len(prompt) + len(answer):
            raise EvaluationError(
                f"'{subject.model}' scored {len(found)} tokens of {len(prompt) + len(answer)}; "
                "its server can't be measured with"
            )
        return float(sum(found[len(prompt) :]))

    async def _greedy(self, subject: Subject, record: Record, max_tokens: int) -> str:
        asked = {"messages": record.messages, "temperature": 0, "max_tokens": max_tokens}
        choice = await self._generated(subject, "/v1/chat/completions", asked)
        return choice["message"].get("content") or ""

    async def _generated(self, subject: Subject, path: str, asked: dict[str, Any]) -> Any:
        answer = await self._ask("POST", path, {"model": subject.model} | asked)
        self._check(subject, answer)
        return answer["choices"][0]

    def _check(self, subject: Subject, answer: dict[str, Any]) -> None:
        told = cast(dict[str, Any], answer.get("ailiance") or {})
        if told.get("model") != subject.model or bool(told.get("adapter")) != subject.is_adapter:
            raise EvaluationError(
                f"'{subject.model}' was asked, '{told.get('model')}' answered; nothing was measured"
            )
        digests = told.get("base_digest"), told.get("adapter_digest")
        if self.digests.setdefault(subject.model, digests) != digests:
            raise EvaluationError(f"'{subject.model}' was replaced meanwhile; measure again")

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            response = await self._client.request(method, path, json=body, timeout=WAIT_S)
            answer: Any = response.json()
        except httpx.HTTPError as error:
            what = str(error) or type(error).__name__
            raise EvaluationError(f"{self._client.base_url}: {what}; is it running?") from None
        except ValueError:
            raise EvaluationError(
                f"{self._client.base_url}{path}: no JSON; is it ailiance?"
            ) from None
        if response.is_error or not isinstance(answer, dict):
            raise EvaluationError(f"{path}: {response.status_code}: {_message(answer)}")
        return cast(dict[str, Any], answer)


def _asked(record: Record) -> dict[str, Any]:
    """The record's conversation, up to where the answer begins."""
    return {"messages": record.messages, "add_generation_prompt": True}


def _is_adapter(entry: dict[str, Any]) -> bool:
    """Not an alias, and not a choice among a base's adapters, which is its own root."""
    parent = entry.get("parent")
    if not parent or not str(entry["id"]).startswith(f"{parent}-"):
        return False
    return entry.get("root") != f"{parent}-auto"


def _message(answer: Any) -> str:
    error = cast(dict[str, Any], answer).get("error") if isinstance(answer, dict) else None
    found = cast(dict[str, Any], error).get("message") if isinstance(error, dict) else None
    return str(found or "no error message")
