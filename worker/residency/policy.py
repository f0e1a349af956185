"""Which adapter has which slot, and which waiting row goes next. Pure: no I/O, no clock.

The next row, among those that wait (``plan_next``):

1. A row that was overtaken as often as is allowed lets no row behind it go first.
2. The first one whose adapter is in a slot, and whose KV fits.
3. The first one whose adapter is in host memory, whose KV fits, and for which there is a slot:
   a free one, else that of the adapter that no running row uses and whose last use is the
   longest ago. Pinned ones stay; those that a waiting row wants go last.

So rows are grouped by adapter, and none starves: rows in front of one are finite, and rows behind
it pass it ``bound`` times at most. An adapter that a running row uses never leaves its slot.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from wire.errors import InvalidRequest

BARE_SLOT = 0


@dataclass(frozen=True)
class Waiting:
    """A row in the queue. ``adapter``: the digest of its version; None: the bare base.

    ``overtaken``: how many rows behind it were admitted before it.
    """

    adapter: str | None
    kv_bytes: int
    overtaken: int


@dataclass(frozen=True)
class Choice:
    """The row to admit now, by its place in the queue. ``in_slot``: nothing is to be put."""

    index: int
    in_slot: bool


class SlotTable:
    """Slots 1 to n by digest, how many running rows use each, and when it was last used."""

    def __init__(self, slots: int) -> None:
        self._free = list(range(slots, 0, -1))
        self._slots: dict[str, int] = {}
        self._uses: dict[str, int] = {}
        self._used_at: dict[str, float] = {}
        self.pinned: frozenset[str] = frozenset()

    @property
    def held(self) -> Sequence[str]:
        """Digests that are in a slot."""
        return list(self._slots)

    @property
    def has_free(self) -> bool:
        return bool(self._free)

    def slot_of(self, adapter: str | None) -> int | None:
        """None: in no slot."""
        return BARE_SLOT if adapter is None else self._slots.get(adapter)

    def uses(self, adapter: str) -> int:
        return self._uses.get(adapter, 0)

    def plan_victim(self, wanted: Collection[str]) -> str | None:
        """Who leaves if a slot is needed and none is free; None: nobody can."""
        idle = [a for a in self._slots if not self._uses[a] and a not in self.pinned]
        return min(idle, key=lambda a: (a in wanted, self._used_at[a]), default=None)

    def take(self, adapter: str, now: float) -> int:
        """A free slot for an adapter that has none."""
        assert adapter not in self._slots
        self._slots[adapter], self._uses[adapter] = self._free.pop(), 0
        self._used_at[adapter] = now
        return self._slots[adapter]

    def drop(self, adapter: str) -> int:
        """Free the slot of an adapter that no row uses."""
        assert not self._uses[adapter]
        del self._uses[adapter], self._used_at[adapter]
        self._free.append(self._slots.pop(adapter))
        return self._free[-1]

    def lock(self, adapter: str | None, now: float) -> None:
        """One more running row uses it."""
        if adapter is not None:
            self._uses[adapter] += 1
            self._used_at[adapter] = now

    def unlock(self, adapter: str | None, now: float) -> None:
        """A row that used it has ended."""
        if adapter is not None:
            assert self._uses[adapter]
            self._uses[adapter] -= 1
            self._used_at[adapter] = now


class Tiers(Protocol):
    """What ``plan_next`` asks about adapters."""

    def in_slot(self, adapter: str | None) -> bool: ...

    def can_put(self, adapter: str) -> bool:
        """It is in host memory, and a slot is free or can be freed."""
        ...


def plan_next(
    waiting: Sequence[Waiting], tiers: Tiers, kv_room_bytes: float, bound: int
) -> Choice | None:
    """The row to admit next, if one can be: see the top of this module."""
    barrier = next((i for i, row in enumerate(waiting) if row.overtaken >= bound), len(waiting))
    fitting = [
        index for index, row in enumerate(waiting[: barrier + 1]) if row.kv_bytes <= kv_room_bytes
    ]
    for index in fitting:
        if tiers.in_slot(waiting[index].adapter):
            return Choice(index, in_slot=True)
    for index in fitting:
        adapter = waiting[index].adapter
        if adapter is not None and tiers.can_put(adapter):
            return Choice(index, in_slot=False)
    return None


@dataclass(frozen=True)
class Budget:
    """One sum of bytes for all: weights and stored prefixes are taken whole from the start.

    ``kv_token_bytes``: keys and values of one token in all layers.
    """

    total_bytes: float
    fixed_bytes: int
    kv_token_bytes: int

    def room_bytes(self, stacks: int, hosted: int, kv: int) -> float:
        """What is left beside slots, host copies, and what running rows may come to need."""
        return self.total_bytes - self.fixed_bytes - stacks - hosted - kv

    def kv_bytes(self, prompt_tokens: int, max_tokens: int) -> int:
        """What a row may come to need."""
        return (prompt_tokens + max_tokens) * self.kv_token_bytes


def check_fits(budget: Budget, room_bytes: float, prompt_tokens: int, max_tokens: int) -> None:
    """Raises InvalidRequest for a row that needs more than all the room there ever is."""
    kv = budget.kv_bytes(prompt_tokens, max_tokens)
    if kv > room_bytes:
        raise InvalidRequest(
            f"{prompt_tokens} prompt tokens and {max_tokens} more need {kv} bytes of keys and "
            f"values; this server has {max(0, int(room_bytes))} for them: ask for fewer tokens",
            param="max_tokens",
        )


def plan_host_evictions(
    hosted: Sequence[tuple[str, int]], needed: Collection[str], excess_bytes: float
) -> list[str]:
    """Which host copies go so that ``excess_bytes`` are freed; ``hosted``: oldest use first.

    Those that are needed stay, even if that is not enough.
    """
    gone: list[str] = []
    for adapter, size in hosted:
        if excess_bytes <= 0:
            break
        if adapter not in needed:
            gone.append(adapter)
            excess_bytes -= size
    return gone
