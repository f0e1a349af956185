"""The form in which a Responses client gets a chat's answer, plain or streamed."""

from collections.abc import Callable
from typing import Any, cast

from gateway.responses.draft import INCOMPLETE, Body, Draft, usage_of
from gateway.responses.events import ResponseEvents
from gateway.responses.output import Outputs
from gateway.responses.store import Store, Stored
from gateway.stream_events import StreamEvents
from wire.errors import UpstreamFailed

CHAT_PATH = "/v1/chat/completions"


class ResponsesForm:
    """``store`` None: this response is not kept. ``items``: the request's own, as stored."""

    path = CHAT_PATH
    keeps_usage = True

    def __init__(
        self,
        draft: Draft,
        items: list[Body],
        *,
        store: Store | None,
        owner: str,
        now: Callable[[], float],
    ) -> None:
        self._draft = draft
        self._items = items
        self._store = store
        self._owner = owner
        self._now = now

    async def plain(self, answer: Body) -> Body:
        """The response object of a chat completion; stored before the client has it."""
        body = response_of(self._draft, answer, int(self._now()))
        if self._store is not None:
            kept = await self._store.keep(self._owner, Stored(body, self._items))
            body["store"] = kept
        return body

    def events(self, chunks: StreamEvents) -> ResponseEvents:
        return ResponseEvents(chunks, self._draft, now=self._now, on_finished=self._on_finished)

    def _on_finished(self, body: Body) -> None:
        # not awaited: the store works in order, so a request that goes on from this one finds it
        if self._store is not None:
            self._store.keep(self._owner, Stored(body, self._items))


def response_of(draft: Draft, answer: Body, now: int) -> Body:
    """The first choice as a response; raises UpstreamFailed where it is none."""
    choice = _body(answer["choices"][0])
    message = _body(choice.get("message"))
    if not message:
        raise UpstreamFailed("the answer from upstream holds no message")
    draft.model = str(answer.get("model") or "")
    draft.provenance = answer.get("ailiance")
    draft.usage = usage_of(answer.get("usage"))
    reason = choice.get("finish_reason")
    outputs = Outputs(draft.id)
    outputs.feed(message, choice.get("logprobs"))
    outputs.finish(complete=reason not in INCOMPLETE)
    return draft.finished(outputs.items, reason, now)


def _body(value: Any) -> Body:
    return cast(Body, value) if isinstance(value, dict) else {}
