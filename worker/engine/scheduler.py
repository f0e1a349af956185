"""The engine's step: commands in, tokens out. Runs on one thread and owns all MLX state.

Each turn: take the commands that came, admit waiting requests into free rows (which ones and in
which slots: ``worker.residency``), put a part of an adapter into its slot if a row waits for that,
score one chunk of a prompt if one is to be scored, run one step of mlx-lm's ``BatchGenerator``,
hand the events over in one go. A cancelled request leaves before
the next step, whichever state it is in.
"""

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, StopSequences

from wire.errors import AilianceError, Overloaded
from worker.engine.answers import Token, on_token
from worker.engine.guides import start_guide
from worker.engine.logprobs import report_responses
from worker.engine.observer import Observer
from worker.engine.prefixes import Cache, PrefixStore
from worker.engine.processors import row_processors
from worker.engine.request import Event, Failed, Finished, GenerationRequest, TokenLogprob
from worker.engine.row import Row
from worker.engine.sampling import row_sampler
from worker.engine.scoring import Scoring
from worker.lora.model import AdapterModel
from worker.residency.paging import Paging

Delivery = list[tuple[Row, list[Event]]]
# bounds the gap that one long prompt puts between the tokens of the others
PREFILL_STEP_TOKENS = 512
PREFILL_ROWS = 8
# times max_rows: so many rows may go before one whose adapter is not in a slot
OVERTAKEN_BATCHES = 2
# of a step's time may be spent beside it: what lengthens the gap between tokens
SPARE_PART = 0.1


class Scheduler:
    """Waiting requests, prompts being scored, running rows and the generator that runs them."""

    def __init__(
        self,
        model: AdapterModel,
        eos: Sequence[int],
        vocabulary: int,
        base_digest: str,
        paging: Paging,
        prefixes: PrefixStore,
        max_rows: int,
        observer: Observer,
    ) -> None:
        self._model = model
        self._eos = tuple(eos)
        self._vocabulary = vocabulary
        self._base_digest = base_digest
        self._paging = paging
        self._prefixes = prefixes
        self._max_rows = max_rows
        self._observer = observer
        self._waiting: deque[Row] = deque()
        self._placing: deque[Row] = deque()
        self._scoring: deque[Scoring] = deque()
        self._step_s = 0.0
        # of the current step: who has ended has to be told, also if the step fails
        self._told: Delivery = []
        self._rows: dict[int, Row] = {}
        # nothing runs, and all that wait do so for what is being read
        self._stalled = False
        self._generator = BatchGenerator(
            cast(Any, model),
            completion_batch_size=max_rows,
            prefill_batch_size=min(PREFILL_ROWS, max_rows),
            prefill_step_size=PREFILL_STEP_TOKENS,
        )

    @property
    def busy(self) -> bool:
        """A step would do something."""
        stuck = self._stalled and self._paging.is_waiting
        return self._is_running or bool(self._waiting and not stuck)

    @property
    def spare_s(self) -> float:
        """How long something else may take before the next step; without rows, any time."""
        return SPARE_PART * self._step_s if self._rows or self._scoring else math.inf

    @property
    def waiting(self) -> Sequence[Row]:
        return self._waiting

    @property
    def running(self) -> Sequence[Row]:
        scoring = (scoring.row for scoring in list(self._scoring))
        return [*list(self._placing), *scoring, *list(self._rows.values())]

    def submit(self, row: Row) -> None:
        """Queue a request."""
        request = row.request
        assert request.max_tokens >= 1 or request.prompt_logprobs is not None
        self._paging.bind(row)
        self._waiting.append(row)
        self._paging.fetch_ahead(self._waiting)
        self._stalled = False

    def cancel(self, row_id: int) -> None:
        """Drop a request wherever it is; unknown or ended ones are no error."""
        self._stalled = False
        for row in (*self._waiting, *self.running):
            if row.id == row_id:
                if row.state == "waiting":
                    self._waiting.remove(row)
                elif row.uid in self._rows:
                    self._generator.remove([row.uid])
                    del self._rows[row.uid]
                else:
                    self._placing = deque(r for r in self._placing if r is not row)
                    self._scoring = deque(s for s in self._scoring if s.row is not row)
                self._observer.on_cancelled(row, row.state)
                self._end(row, "cancelled")
                return

    def step(self) -> Delivery:
        """Admit, run one step, and return what each request is to be told."""
        self._told += self._lose()
        self._told += self._admit()
        self._place()
        begun_s = time.monotonic()
        self._told += self._score()
        self._generate()
        self._step_s = time.monotonic() - begun_s
        told, self._told = self._told, []
        return told

    def fail_all(self, error: AilianceError) -> Delivery:
        """End every request with an error; for the death of the engine.

        Comes after what a step that failed had for those that ended in it.
        """
        rows = [*self._waiting, *self.running]
        self._waiting.clear()
        self._placing.clear()
        self._scoring.clear()
        self._rows.clear()
        for row in rows:
            self._end(row, "error")
        told, self._told = self._told, []
        return [*told, *((row, [Failed(error)]) for row in rows)]

    def look_again(self) -> None:
        """Something was done beside the steps that may let waiting rows go."""
        self._stalled = False

    def close(self) -> None:
        self._paging.close()
        self._generator.close()

    def wake_with(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on another thread, when something came that waiting rows wait for."""
        self._paging.wake_with(wake)

    def _lose(self) -> Delivery:
        """Fail the rows whose adapter could not be read."""
        lost = self._paging.take_arrived(self._waiting)
        return [self._fail(row, error) for row, error in lost if row.state != "ended"]

    def _admit(self) -> Delivery:
        bound = OVERTAKEN_BATCHES * self._max_rows
        while self._waiting and len(self.running) < self._max_rows:
            self._paging.fetch_ahead(self._waiting)
            choice = self._paging.plan(self._waiting, bound)
            if choice is None:
                return self._give_up()
            row = self._waiting[choice.index]
            row.slot = self._paging.admit(row, self._waiting)
            del self._waiting[choice.index]
            for other in itertools.islice(self._waiting, choice.index):
                other.overtaken += 1
            now_s = time.monotonic()
            row.on_admitted(now_s)
            self._observer.on_admitted(row, now_s - row.submitted_s)
            self._placing.append(row)
        return []

    @property
    def _is_running(self) -> bool:
        return bool(self._placing or self._scoring or self._rows)

    def _place(self) -> None:
        """Begin the admitted rows whose adapter is in its slot."""
        if any(self._paging.is_placing(row.slot) for row in self._placing):
            self._paging.place(self._waiting, self.spare_s * len(self._placing))
        for row in [row for row in self._placing if not self._paging.is_placing(row.slot)]:
            # in this order: whatever fails, each row is in one of the queues
            self._begin(row)
            self._placing.remove(row)

    def _give_up(self) -> Delivery:
        """Memory that nothing will free is no reason to wait."""
        self._stalled = not self._is_running
        if not self._stalled or self._paging.is_coming:
            return []
        error = Overloaded("there is no room in memory for this request's adapter or tokens")
        return [self._fail(self._waiting[0], error)]

    def _fail(self, row: Row, error: AilianceError) -> tuple[Row, list[Event]]:
        self._waiting.remove(row)
        self._end(row, "error")
        return row, [Failed(error)]

    def _begin(self, row: Row) -> None:
        if row.request.prompt_logprobs is not None:
            cache = self._model.new_cache(row.slot)
            self._scoring.append(Scoring(row, cache, PREFILL_STEP_TOKENS))
            return
        found, cached = self._prefixes.fetch(self._digest(row), row.slot, row.request.prompt)
        row.cached_tokens = cached
        self._insert(row, found or self._model.new_cache(row.slot), cached)

    def _insert(self, row: Row, cache: Cache, covered: int) -> None:
        """Put a row into the generator, with a cache of the first tokens of its prompt."""
        request = row.request
        processors = row_processors(request.sampling, len(request.prompt))
        row.guide = start_guide(request)
        # last: no penalty or bias allows what the guide forbids
        guide = [] if row.guide is None else [row.guide]
        (uid,) = self._generator.insert(
            [list(request.prompt[covered:])],
            max_tokens=[request.max_tokens],
            caches=[cache],
            all_tokens=[list(request.prompt[:covered])],
            samplers=[row_sampler(request.sampling, self._vocabulary)],
            logits_processors=[[*processors, *guide]],
            stop_sequences=[self._stops(request)],
        )
        row.on_inserted(uid)
        self._rows[uid] = row

    def _stops(self, request: GenerationRequest) -> StopSequences:
        eos = () if request.ignore_eos else self._eos
        return StopSequences([(token,) for token in (*eos, *request.stop_token_ids)])

    def _score(self) -> Delivery:
        """One chunk of the first prompt to be scored; a row that is done with it moves on."""
        if not self._scoring:
            return []
        scoring = self._scoring[0]
        row = scoring.row
        if not scoring.done:
            with mx.stream(self._generator.stream):
                scoring.step(self._model)
        if not scoring.done:
            return []
        covered = len(row.request.prompt) - 1
        if row.request.max_tokens:
            self._insert(row, scoring.cache, covered)
            self._scoring.popleft()
            return [(row, [scoring.scored()])]
        if covered:
            self._store(row, row.request.prompt[:covered], scoring.cache)
        self._scoring.popleft()
        self._end(row, "length")
        return [(row, [scoring.scored(), Finished("length", row.usage())])]

    def _generate(self) -> None:
        if not self._rows:
            return
        responses = cast(list[Any], self._generator.next()[1])
        rows = [self._rows[response.uid] for response in responses]
        if rows:
            self._observer.on_step(len(rows), len({row.slot for row in rows}))
        reports = report_responses(responses, [row.request.logprobs for row in rows])
        for row, response, report in zip(rows, responses, reports, strict=True):
            events = self._on_response(row, response, report)
            if events:
                self._told.append((row, events))

    def _on_response(self, row: Row, response: Any, report: TokenLogprob | None) -> list[Event]:
        is_eos = response.token in self._eos and not row.request.ignore_eos
        events = on_token(row, Token(response.token, response.finish_reason, is_eos, report))
        if events and isinstance(events[-1], Finished | Failed):
            self._leave(row, response)
            self._end(row, "error" if isinstance(events[-1], Failed) else events[-1].reason)
        return events

    def _leave(self, row: Row, response: Any) -> None:
        """Take an ended row out, and keep its KV."""
        cache, tokens = response.prompt_cache, response.all_tokens
        if response.finish_reason is None:
            # it ended by its text or its guide: mlx-lm has not dropped it
            kept = self._generator.remove([row.uid], return_prompt_caches=True)
            cache, tokens = cast(dict[int, Any], kept)[row.uid]
        self._store(row, tokens, cache)
        del self._rows[row.uid]

    def _store(self, row: Row, tokens: Sequence[int], cache: Cache) -> None:
        self._prefixes.store(self._digest(row), tokens, cache)

    def _digest(self, row: Row) -> str:
        return self._base_digest if row.version is None else row.version.digest

    def _end(self, row: Row, status: str) -> None:
        self._paging.release(row, admitted=row.state != "waiting")
        row.on_end()
        self._observer.on_ended(row, status)
