"""Moves adapters between slot, host memory and disk, as the policy plans it.

Belongs to the engine thread, but for ``tier_of`` and ``check_fits``. A host copy is kept where a
slot may have to be filled again: while there are more adapters than slots, and of parts of sums.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

from fleet.errors import SourceError
from wire.errors import AilianceError, EngineFailed
from worker.engine.observer import Observer
from worker.engine.request import GenerationRequest
from worker.engine.row import Row
from worker.lora.files import AdapterFiles
from worker.lora.model import AdapterModel
from worker.pieces import Pieces, whole
from worker.residency.adapters import AdapterVersion, version_of
from worker.residency.hosting import HostCopies
from worker.residency.policy import Budget, Choice, SlotTable, Waiting, check_fits, plan_next
from worker.residency.puts import Put, Puts
from worker.residency.tiers import TierView

T = TypeVar("T")
Tier = Literal["slot", "resident", "disk"]
Prove = Callable[[str, int], Pieces[float]]
"""The effect of the adapter of this name in this slot. Raises SourceError where it has none."""


@dataclass(frozen=True)
class Memory:
    """Where adapters may be: slots of the model, copies on the host, within a budget."""

    model: AdapterModel
    slots: int
    host: HostCopies
    budget: Budget


class Paging:
    """What is in which slot, which rows need it, and what they may come to need of memory.

    The model has one slot more than rows may use: there an adapter is proved when all are taken,
    so that nobody has to leave for a proof.
    """

    def __init__(
        self,
        memory: Memory,
        versions: Mapping[str, AdapterVersion],
        prove: Prove,
        observer: Observer,
    ) -> None:
        """``versions``: what names mean now, a live view."""
        self._model = memory.model
        self._host = memory.host
        self._budget = memory.budget
        self._slots = memory.slots
        self._versions = versions
        self._prove = prove
        self._observer = observer
        self._table = SlotTable(memory.slots)
        self._sums: dict[str, AdapterVersion] = {}  # in slots
        self._puts = Puts()  # each for rows that wait for it
        self._loading: int | None = None  # the slot that ``loading`` fills
        self._effects: dict[str, float] = {}
        self._bound: Counter[str] = Counter()  # rows taken on and not ended, by what they need
        self._retired: set[str] = set()
        self._kv_bytes = 0
        self._expected = 0
        self._stack_bytes = memory.model.nbytes

    @property
    def is_waiting(self) -> bool:
        """Rows may wait for what is being read, and ``wake`` will be called."""
        return self._host.is_waiting

    @property
    def is_coming(self) -> bool:
        """Rows may wait for what is being read, or for a slot that a load holds."""
        return self._host.is_reading or self._loading is not None

    def wake_with(self, wake: Callable[[], None]) -> None:
        self._host.wake = wake

    def tier_of(self, digest: str) -> Tier:
        """Where an adapter is; from any thread."""
        slot = self._table.slot_of(digest)
        if slot is not None and not self.is_placing(slot):
            return "slot"
        return "resident" if digest in self._host else "disk"

    def expect(self, adapters: int) -> None:
        """So many are about to be loaded: copies are kept if there are more than slots."""
        self._expected = adapters

    def close(self) -> None:
        self._host.close()

    def bind(self, row: Row) -> None:
        """A row was taken on: what it needs stays."""
        request = row.request
        name = request.adapter
        row.version = request.version or (None if name is None else self._versions[name])
        row.kv_bytes = self._budget.kv_bytes(len(request.prompt), request.max_tokens)
        self._bound.update(_needs([row]))

    def fetch_ahead(self, waiting: Sequence[Row]) -> None:
        """Have read what rows wait for, those in front first, as far as memory allows."""
        ahead: set[str] = set()
        for row in waiting:
            if row.version is None or self._table.slot_of(row.version.digest) is not None:
                continue
            ahead |= _needs([row])
            for need in row.version.needs:
                if self._host.is_coming(need.digest):
                    continue
                self._host.evict(need.nbytes - self._room_bytes(), ahead | self._puts.sources)
                if need.nbytes > self._room_bytes():
                    return
                self._host.fetch(need)

    def take_arrived(self, waiting: Sequence[Row]) -> list[tuple[Row, AilianceError]]:
        """Keep what was read; the rows that wait for what could not be read."""
        lost: list[tuple[Row, AilianceError]] = []
        for version, reason in self._host.take_arrived():
            error = EngineFailed(
                f"adapter '{version.name}' can't be read again: {reason}; load it again"
            )
            lost += [(row, error) for row in waiting if version.digest in self._lacks(row)]
        return lost

    def plan(self, waiting: Sequence[Row], bound: int) -> Choice | None:
        """The row to admit next; ``bound``: how often one may be overtaken."""
        rows = [Waiting(_digest(row.version), row.kv_bytes, row.overtaken) for row in waiting]
        versions = {row.version.digest: row.version for row in waiting if row.version is not None}
        # other host copies may go for keys and values
        kept = self._host.nbytes_of(self._kept(waiting))
        room = self._budget.room_bytes(self._stack_bytes, kept, self._kv_bytes)
        return plan_next(rows, TierView(self._table, self._host, versions), room, bound)

    def admit(self, row: Row, waiting: Sequence[Row]) -> int:
        """The row's slot, its adapter's until the row's ``release``.

        ``is_placing`` says whether the row has to wait until the adapter is in it.
        """
        now_s, digest = time.monotonic(), _digest(row.version)
        if row.version is not None and self._table.slot_of(digest) is None:
            self._put(row.version, {_digest(other.version) for other in waiting}, now_s)
        self._table.lock(digest, now_s)
        self._kv_bytes += row.kv_bytes
        self._make_room(waiting)
        slot = self._table.slot_of(digest)
        assert slot is not None
        return slot

    def is_placing(self, slot: int) -> bool:
        """The adapter of this slot is not there yet."""
        return slot in self._puts or slot == self._loading

    def place(self, waiting: Sequence[Row], spare_s: float) -> None:
        """Go on with what is put into slots, for this long or a piece longer."""
        end_s = time.monotonic() + spare_s
        while self._puts:
            if (put := self._puts.go_on()) is not None:
                self._on_put(put)
                self._make_room(waiting)
            if time.monotonic() >= end_s:
                return

    def release(self, row: Row, *, admitted: bool) -> None:
        """The row has ended."""
        if admitted:
            self._kv_bytes -= row.kv_bytes
            self._table.unlock(_digest(row.version), time.monotonic())
            self._drop_unwanted_put(row)
        for digest in _needs([row]):
            self._unbind(digest)

    def load(self, files: AdapterFiles, *, pinned: bool = False) -> AdapterVersion:
        """``loading`` at once."""
        return whole(self.loading(files, pinned=pinned))

    def loading(self, files: AdapterFiles, *, pinned: bool = False) -> Pieces[AdapterVersion]:
        """Take on what was read: proved, and in a slot if one is free. One at a time, to its end.

        Raises SourceError if it has no effect or no room; then nothing has changed.
        """
        digest = files.digest
        if files.nbytes > self._budget.room_bytes(self._stack_bytes, 0, 0):
            raise SourceError(
                files.name, f"its {files.nbytes} bytes do not fit into memory_bytes; raise that"
            )
        # as rows do: what no name means any more stays, too, until it is known to have one
        self._bound[digest] += 1
        try:
            if self._table.slot_of(digest) is None and self._table.has_free:
                slot = self._table.take(digest, time.monotonic())
                # or it may leave before it has come
                self._table.lock(digest, time.monotonic())
                yield from self._putting_proved(files, slot)
                self._table.unlock(digest, time.monotonic())
            elif digest not in self._effects:
                yield from self._putting_proved(files, self._slots + 1)
                self._leave(digest, self._slots + 1)
            self._retired.discard(digest)
        finally:
            self._unbind(digest)
        out = self._is_crowded or self._table.slot_of(digest) is None
        if out and files.nbytes <= self._room_bytes():
            self._host.keep(files)
        if pinned:
            self._table.pinned |= {digest}
        return version_of(files, self._effects[digest], pinned)

    def visiting(self, files: AdapterFiles, work: Callable[[int], Pieces[T]]) -> Pieces[T]:
        """What ``work`` finds of it in the slot that rows never use; then it leaves again."""
        slot = self._slots + 1
        try:
            yield from self._model.putting(slot, files)
            return (yield from work(slot))
        finally:
            self._leave(files.digest, slot)

    def unpin(self, digest: str) -> None:
        """It may leave its slot again."""
        self._table.pinned -= {digest}

    def retire(self, digest: str) -> None:
        """No name means it any more: it goes with the last row that needs it."""
        if self._bound[digest]:
            self._retired.add(digest)
        else:
            del self._bound[digest]
            self._forget(digest)

    def check_fits(self, requests: Sequence[GenerationRequest]) -> None:
        """Raises InvalidRequest for a row that even an empty batch has no room for. Any thread."""
        for request in requests:
            needs = 0 if request.version is None else request.version.nbytes
            room = self._budget.room_bytes(self._stack_bytes, needs, 0)
            check_fits(self._budget, room, len(request.prompt), request.max_tokens)

    def _unbind(self, digest: str) -> None:
        self._bound[digest] -= 1
        if not self._bound[digest]:
            del self._bound[digest]
            if digest in self._retired:
                self._forget(digest)

    def _lacks(self, row: Row) -> set[str]:
        in_slot = self._table.slot_of(_digest(row.version)) is not None
        return set() if in_slot else _needs([row])

    @property
    def _is_crowded(self) -> bool:
        return max(len(self._versions), self._expected) > self._slots

    def _room_bytes(self) -> float:
        return self._budget.room_bytes(self._stack_bytes, self._host.nbytes, self._kv_bytes)

    def _make_room(self, waiting: Sequence[Row]) -> None:
        """Host copies go for what has come."""
        self._host.evict(-self._room_bytes(), self._kept(waiting))

    def _kept(self, waiting: Sequence[Row]) -> set[str]:
        """Host copies that the first row waits for, and those that are read by puts."""
        return _needs(islice(waiting, 1)) | self._puts.sources

    def _put(self, version: AdapterVersion, wanted: set[str | None], now_s: float) -> None:
        if not self._table.has_free:
            victim = self._table.plan_victim({digest for digest in wanted if digest is not None})
            assert victim is not None
            self._table.drop(victim)
            self._sums.pop(victim, None)
        slot = self._table.take(version.digest, now_s)
        files = [self._host.use(need.digest) for need in version.needs]
        if version.parts:
            scales = [scale for _, scale in version.parts]
            pieces = self._model.putting_sum(slot, list(zip(files, scales, strict=True)))
            self._sums[version.digest] = version
        else:
            pieces = self._model.putting(slot, files[0])
        self._puts.begin(slot, pieces, [need.digest for need in version.needs])

    def _on_put(self, put: Put) -> None:
        """An adapter has come into its slot."""
        self._on_slot_load()
        for digest in put.sources - self._puts.sources:
            # not of a sum: what is in its slot is none of its parts
            if self._table.slot_of(digest) == put.slot and not self._is_crowded:
                self._host.drop(digest)

    def _drop_unwanted_put(self, row: Row) -> None:
        """The last row that waited for its adapter has left before that came."""
        digest = _digest(row.version)
        if digest is not None and row.slot in self._puts and not self._table.uses(digest):
            self._sums.pop(digest, None)
            self._leave(digest, row.slot)

    def _putting_proved(self, files: AdapterFiles, slot: int) -> Pieces[None]:
        self._loading = slot
        try:
            yield from self._model.putting(slot, files)
            self._on_slot_load()
            if files.digest not in self._effects:
                self._effects[files.digest] = yield from self._prove(files.name, slot)
        except BaseException:
            self._on_load_failed(files, slot)
            raise
        finally:
            self._loading = None

    def _on_load_failed(self, files: AdapterFiles, slot: int) -> None:
        if slot <= self._slots:
            self._table.unlock(files.digest, time.monotonic())
            if self._table.uses(files.digest):
                # rows of another name for it have this slot: without it they would run bare
                self._host.keep(files)
                self._puts.begin(slot, self._model.putting(slot, files), [files.digest])
                return
        self._leave(files.digest, slot)

    def _on_slot_load(self) -> None:
        self._stack_bytes = self._model.nbytes
        self._observer.on_slot_load()

    def _leave(self, digest: str, slot: int) -> None:
        self._puts.stop(slot)
        self._model.clear(slot)
        self._stack_bytes = self._model.nbytes
        if self._table.slot_of(digest) == slot:
            self._table.drop(digest)

    def _forget(self, digest: str) -> None:
        """It and the sums that it is a part of; no row needs them."""
        self._retired.discard(digest)
        self._table.pinned -= {digest}
        self._host.drop(digest)
        sums = [d for d, s in self._sums.items() if digest in {need.digest for need in s.needs}]
        for each in (digest, *sums):
            slot = self._table.slot_of(each)
            self._sums.pop(each, None)
            if slot is not None:
                self._leave(each, slot)


def _digest(version: AdapterVersion | None) -> str | None:
    return None if version is None else version.digest


def _needs(rows: Iterable[Row]) -> set[str]:
    """What rows need, by digest."""
    return {need.digest for row in rows if row.version for need in row.version.needs}
