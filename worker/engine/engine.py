"""The engine thread and its two ends: commands from the event loop, events back to it.

One thread owns MLX; one event loop owns the requests. They meet over a queue of commands
and one ``call_soon_threadsafe`` a step. If the thread dies, every request gets an error,
``dead`` is set, and ``on_death`` is called: the process is to end.
"""

import asyncio
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from wire.errors import AilianceError, EngineFailed, WorkerUnavailable
from worker.engine.admission import Load
from worker.engine.jobs import Job
from worker.engine.request import Event, Failed, Finished, GenerationRequest
from worker.engine.row import Row
from worker.engine.scheduler import Delivery, Scheduler
from worker.engine.text import TextStream
from worker.pieces import Pieces

log = logging.getLogger("ailiance.engine")


@dataclass(frozen=True)
class _Submit:
    row: Row


@dataclass(frozen=True)
class _Cancel:
    row_id: int


@dataclass(frozen=True)
class _Wake:
    """What waiting rows wait for has come."""


@dataclass(frozen=True)
class _Stop:
    pass


T = TypeVar("T")
# then commands that came meanwhile are looked at, though no row decodes
JOB_S = 0.01
Command = _Submit | _Cancel | _Wake | _Stop | Job
Start = Callable[[], Scheduler]
"""Loads the model on the engine thread and returns the scheduler over it."""
NewText = Callable[[GenerationRequest], TextStream]


class Engine:
    """Runs a scheduler on its own thread; ``generate_all`` and ``run`` are its only doors."""

    def __init__(
        self, max_rows: int, max_queue: int, new_text: NewText, on_death: Callable[[], None]
    ) -> None:
        self._max_rows = max_rows
        self._max_queue = max_queue
        self._new_text = new_text
        self._on_death = on_death
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._ids = itertools.count()
        self._load = Load()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.dead = False

    @property
    def pending(self) -> int:
        """Requests taken on and not ended."""
        return self._load.pending

    async def start(self, start: Start) -> None:
        """Start the thread and load on it; raises what loading raised."""
        self._loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._run, args=(start, ready), name="engine", daemon=True
        )
        self._thread.start()
        await ready

    async def stop(self) -> None:
        """End the thread after its current step; what still runs gets an error. Idempotent."""
        self.dead = True
        self._commands.put(_Stop())
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 5.0)

    def generate(self, request: GenerationRequest) -> "Generation":
        """Take one request on, as ``generate_all`` does."""
        return self.generate_all([request])[0]

    def generate_all(self, requests: Sequence[GenerationRequest]) -> "list[Generation]":
        """Take all of them on, or none. Raises Overloaded, also once the engine has stopped.

        InvalidRequest where there are more of them than this engine ever takes.
        """
        self._check_alive()
        self._load = self._load.admit(self._max_rows, self._max_queue, len(requests))
        return [self._submit(request) for request in requests]

    async def run(self, job: Callable[[], T]) -> T:
        """The result of ``job``, called on the engine thread between two steps.

        Raises what it raised; WorkerUnavailable once the engine has stopped, EngineFailed if
        it stops before the job ran. One job at most runs between two steps of decoding rows.
        """
        return await self.run_pieces(_at_once(job))

    async def run_pieces(self, pieces: Pieces[T]) -> T:
        """The same for a long one: between two steps only so much of it as rows hardly notice."""
        self._check_alive()
        job = Job(pieces)
        self._commands.put(job)
        return await job.result

    def post(self, call: Callable[[], None]) -> None:
        """Have something done on the engine thread between two steps; nobody waits for it."""
        job = Job(_at_once(call))
        job.result.add_done_callback(_log_failure)
        self._commands.put(job)

    def _check_alive(self) -> None:
        if self.dead:
            raise WorkerUnavailable("the engine has stopped", retry_after_s=1.0)

    def _submit(self, request: GenerationRequest) -> "Generation":
        generation = Generation(self)
        text = self._new_text(request)
        generation.row = Row(next(self._ids), request, generation.put, text, time.monotonic())
        self._commands.put(_Submit(generation.row))
        return generation

    def on_closed(self, row: Row, ended: bool) -> None:
        """A generation's reader is gone: cancel what still runs, update the load."""
        service_s = time.monotonic() - row.admitted_s if ended and row.admitted_s else None
        self._load = self._load.end(service_s)
        if not ended:
            self._commands.put(_Cancel(row.id))

    def _run(self, start: Start, ready: "asyncio.Future[None]") -> None:
        assert self._loop is not None
        try:
            scheduler = start()
        except BaseException as error:
            self._loop.call_soon_threadsafe(ready.set_exception, error)
            return
        scheduler.wake_with(lambda: self._commands.put(_Wake()))
        self._loop.call_soon_threadsafe(ready.set_result, None)
        jobs: deque[Job] = deque()
        try:
            self._serve(scheduler, jobs)
        except Exception:
            log.exception("the engine failed")
            self._die(scheduler, jobs)
        finally:
            scheduler.close()

    def _serve(self, scheduler: Scheduler, jobs: deque[Job]) -> None:
        while self._take(scheduler, jobs):
            # one at most: jobs, however many, must not starve the rows
            if jobs and _run(jobs[0], min(scheduler.spare_s, JOB_S)):
                jobs.popleft()
                scheduler.look_again()
            if scheduler.busy:
                self._hand_over(scheduler.step())

    def _take(self, scheduler: Scheduler, jobs: deque[Job]) -> bool:
        """Obey the commands that came, waiting for one if there is nothing to do; False: stop."""
        while not self._commands.empty() or not (scheduler.busy or jobs):
            command = self._commands.get()
            if isinstance(command, _Stop):
                error = EngineFailed("the server is stopping")
                self._hand_over(scheduler.fail_all(error))
                _fail(jobs, error)
                return False
            if isinstance(command, Job):
                jobs.append(command)
            elif isinstance(command, _Submit):
                scheduler.submit(command.row)
            elif isinstance(command, _Cancel):
                scheduler.cancel(command.row_id)
        return True

    def _die(self, scheduler: Scheduler, jobs: deque[Job]) -> None:
        assert self._loop is not None
        self.dead = True
        error = EngineFailed("the engine failed; the request was not finished")
        late = scheduler.fail_all(error)
        _fail(jobs, error)
        self._loop.call_soon_threadsafe(self._on_late, late, error)

    def _on_late(self, late: Delivery, error: AilianceError) -> None:
        # on the loop's thread, where commands are put: none can come after this
        jobs: deque[Job] = deque()
        while not self._commands.empty():
            command = self._commands.get()
            if isinstance(command, _Submit):
                late.append((command.row, [Failed(error)]))
            elif isinstance(command, Job):
                jobs.append(command)
        _deliver(late)
        _fail(jobs, error)
        self._on_death()

    def _hand_over(self, delivery: Delivery) -> None:
        if delivery:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(_deliver, delivery)


def _at_once(call: Callable[[], T]) -> Pieces[T]:
    return call()
    yield  # makes it a generator, of no piece but the last


def _run(job: Job, for_s: float) -> bool:
    """Whether it has ended; a piece at least is run."""
    end_s = time.monotonic() + for_s
    while not (ended := job.run_piece()) and time.monotonic() < end_s:
        pass
    return ended


def _log_failure(result: "asyncio.Future[None]") -> None:
    if not result.cancelled() and (error := result.exception()) is not None:
        log.error("a job of the engine failed: %s", error)


def _fail(jobs: Iterable[Job], error: AilianceError) -> None:
    for job in jobs:
        job.fail(error)


def _deliver(delivery: Delivery) -> None:
    for row, events in delivery:
        for event in events:
            row.sink(event)


class Generation:
    """One request's events: iterate to the terminal one, and always ``close``."""

    row: Row

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._ended = False
        self._closed = False

    def put(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def events(self) -> AsyncIterator[Event]:
        """Events up to and including the one terminal event."""
        while not self._ended:
            event = await self._events.get()
            self._ended = isinstance(event, Finished | Failed)
            yield event

    def close(self) -> None:
        """The reader is done or gone; frees the row if it still runs. Idempotent."""
        if not self._closed:
            self._closed = True
            self._engine.on_closed(self.row, self._ended)
