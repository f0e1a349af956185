"""The engine's step: commands in, tokens out. Runs on one thread and owns all MLX state.

Each turn: take the commands that came, admit waiting requests into free rows, run one step
of mlx-lm's ``BatchGenerator``, hand the events over in one go. A cancelled request leaves
the batch before the next step, whichever state it is in.
"""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

from mlx_lm.generate import BatchGenerator, StopSequences

from wire.errors import AilianceError
from worker.engine.observer import Observer
from worker.engine.prefixes import PrefixStore
from worker.engine.processors import row_processors
from worker.engine.request import Event, Failed, Finished, GenerationRequest, Text
from worker.engine.row import Row
from worker.engine.sampling import row_sampler
from worker.lora.model import AdapterModel
from worker.lora.plan import BARE

Delivery = list[tuple[Row, list[Event]]]
# bounds the gap that one long prompt puts between the tokens of the others
PREFILL_STEP_TOKENS = 512
PREFILL_ROWS = 8


class Scheduler:
    """Waiting requests, running rows, and the generator that runs them."""

    def __init__(
        self,
        model: AdapterModel,
        eos: Sequence[int],
        vocabulary: int,
        digests: dict[str | None, str],
        prefixes: PrefixStore,
        max_rows: int,
        observer: Observer,
    ) -> None:
        self._model = model
        self._eos = tuple(eos)
        self._at_eos = _stop_at(eos)
        self._vocabulary = vocabulary
        self._digests = digests
        self._prefixes = prefixes
        self._max_rows = max_rows
        self._observer = observer
        self._waiting: deque[Row] = deque()
        self._rows: dict[int, Row] = {}
        self._generator = BatchGenerator(
            cast(Any, model),
            completion_batch_size=max_rows,
            prefill_batch_size=min(PREFILL_ROWS, max_rows),
            prefill_step_size=PREFILL_STEP_TOKENS,
        )

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._rows)

    @property
    def waiting(self) -> Sequence[Row]:
        return self._waiting

    @property
    def running(self) -> Sequence[Row]:
        return list(self._rows.values())

    def submit(self, row: Row) -> None:
        """Queue a request."""
        self._waiting.append(row)

    def cancel(self, row_id: int) -> None:
        """Drop a request wherever it is; unknown or ended ones are no error."""
        for row in self._waiting:
            if row.id == row_id:
                self._waiting.remove(row)
                self._drop(row)
                return
        for row in self._rows.values():
            if row.id == row_id:
                self._generator.remove([row.uid])
                del self._rows[row.uid]
                self._drop(row)
                return

    def step(self) -> Delivery:
        """Admit, run one step, and return what each request is to be told."""
        self._admit()
        if not self._rows:
            return []
        _, responses = self._generator.next()
        self._watch(cast(list[Any], responses))
        delivery: Delivery = []
        for response in cast(list[Any], responses):
            row = self._rows[response.uid]
            events = self._on_token(row, response)
            if events:
                delivery.append((row, events))
        return delivery

    def fail_all(self, error: AilianceError) -> Delivery:
        """End every request with an error; for the death of the engine."""
        rows = [*self._waiting, *self._rows.values()]
        self._waiting.clear()
        self._rows.clear()
        for row in rows:
            self._end(row, "error")
        return [(row, [Failed(error)]) for row in rows]

    def close(self) -> None:
        self._generator.close()

    def _watch(self, responses: Sequence[Any]) -> None:
        if responses:
            adapters = {self._rows[response.uid].request.adapter for response in responses}
            self._observer.on_step(len(responses), len(adapters))

    def _admit(self) -> None:
        while self._waiting and len(self._rows) < self._max_rows:
            row = self._waiting.popleft()
            request = row.request
            slot = BARE if request.adapter is None else self._model.slots[request.adapter]
            cache, cached = self._prefixes.fetch(
                self._digests[request.adapter], slot, request.prompt
            )
            (uid,) = self._generator.insert(
                [list(request.prompt[cached:])],
                max_tokens=[request.max_tokens],
                caches=[cache or self._model.new_cache(request.adapter)],
                all_tokens=[list(request.prompt[:cached])],
                samplers=[row_sampler(request.sampling, self._vocabulary)],
                logits_processors=[row_processors(request.sampling, len(request.prompt))],
                stop_sequences=[self._stops(request)],
            )
            now_s = time.monotonic()
            row.on_admitted(uid, cached, now_s)
            self._rows[uid] = row
            self._observer.on_admitted(row, now_s - row.submitted_s)

    def _stops(self, request: GenerationRequest) -> StopSequences:
        if request.ignore_eos:
            return _stop_at(request.stop_token_ids)
        if not request.stop_token_ids:
            return self._at_eos
        return _stop_at((*self._eos, *request.stop_token_ids))

    def _on_token(self, row: Row, response: Any) -> list[Event]:
        row.on_token()
        # by an end token, or one of the request's own: neither makes text
        ended_by_token = response.finish_reason == "stop"
        text = "" if ended_by_token else row.text.add(response.token)
        if row.text.stopped and response.finish_reason is None:
            # a stop string ends the row here; mlx-lm has not dropped it
            kept = self._generator.remove([row.uid], return_prompt_caches=True)
            cache, tokens = cast(dict[int, Any], kept)[row.uid]
            return self._finish(row, text, "stop", tokens, cache)
        if response.finish_reason is None:
            return [Text(text)] if text else []
        if not row.text.stopped:
            text += row.text.end()
        reason = "stop" if ended_by_token or row.text.stopped else "length"
        return self._finish(row, text, reason, response.all_tokens, response.prompt_cache)

    def _finish(self, row: Row, text: str, reason: Any, tokens: Any, cache: Any) -> list[Event]:
        del self._rows[row.uid]
        self._prefixes.store(self._digests[row.request.adapter], tokens, cache)
        self._end(row, reason)
        done = Finished(reason, row.usage())
        return [Text(text), done] if text else [done]

    def _drop(self, row: Row) -> None:
        self._observer.on_cancelled(row, row.state)
        self._end(row, "cancelled")

    def _end(self, row: Row, status: str) -> None:
        row.on_end()
        self._observer.on_ended(row, status)


def _stop_at(tokens: Sequence[int]) -> StopSequences:
    return StopSequences([(token,) for token in tokens])
