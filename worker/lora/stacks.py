"""The factors of many adapters in one array, changed in place, one lane an adapter.

All of it belongs to the engine thread. An update is MLX's own: with nobody else holding the
array it is written where it stands, else MLX copies the array first. So the views that the
products use are made when asked for and forgotten before an update.
"""

import mlx.core as mx

from worker.lora.kernels import Kernel
from worker.lora.rows import GroupRows


class Lanes:
    """The factors of one product for the adapters of one bucket; lane 0 is zero.

    ``shape`` is that of a lane as stored. ``turned``: products read it transposed.
    """

    def __init__(self, lanes: int, shape: tuple[int, int], dtype: mx.Dtype, turned: bool) -> None:
        self._stored = mx.zeros((lanes + 1, *shape), dtype)
        self._turned = turned
        self._used: set[int] = set()
        self._whole: mx.array | None = None
        self._by_lane: dict[int, mx.array] = {}

    @property
    def nbytes(self) -> int:
        return self._stored.nbytes

    @property
    def stored(self) -> mx.array:
        """To be evaluated after changes; not to be kept."""
        return self._stored

    def apply(self, x: mx.array, group: GroupRows, kernel: Kernel) -> mx.array:
        """The rows of ``group``, each with its lane: (rows, seq, in) -> (rows, seq, out)."""
        if group.lane is not None:
            return x @ self._one(group.lane)
        return kernel(x, self._factors(), group.lanes, group.rows)

    def at(self, index: mx.array, group: GroupRows) -> mx.array:
        """What is stored in each row's lane at ``index`` (rows, seq) -> (rows, seq, wide)."""
        return self._stored[group.lanes[:, None], index]

    def put(self, lane: int, factors: mx.array | None) -> None:
        """Set one lane, None for zero; not evaluated."""
        if factors is None and lane not in self._used:
            return
        self._forget_views()
        self._stored[lane] = 0 if factors is None else factors.astype(self._stored.dtype)
        if factors is None:
            self._used.discard(lane)
        else:
            self._used.add(lane)

    def grow(self, lanes: int) -> None:
        """Room for more lanes; evaluated, so that one stack at a time is held twice."""
        more = lanes + 1 - self._stored.shape[0]
        if more <= 0:
            return
        longer = mx.pad(self._stored, [(0, more), (0, 0), (0, 0)])
        # before it is ours: where memory has run out, these lanes stay as they are
        mx.eval(longer)
        self.replace(longer)

    def widened(self, at: int, count: int) -> mx.array:
        """``stored`` with room for another member's factors, rows of zeros at ``at`` in every
        lane; evaluated."""
        lanes, _, wide = self._stored.shape
        room = mx.zeros((lanes, count, wide), self._stored.dtype)
        before, after = self._stored[:, :at], self._stored[:, at:]
        wider = mx.concatenate([before, room, after], axis=1)
        mx.eval(wider)
        return wider

    def replace(self, stored: mx.array) -> None:
        self._forget_views()
        self._stored = stored

    def _forget_views(self) -> None:
        self._whole = None
        self._by_lane = {}

    def _factors(self) -> mx.array:
        if self._whole is None:
            self._whole = self._stored.swapaxes(-1, -2) if self._turned else self._stored
        return self._whole

    def _one(self, lane: int) -> mx.array:
        # A view, kept because a slice costs one dispatch a layer and step. Not factors[lane]:
        # MLX 0.32 gathers on an integer index, and the copies would double the memory.
        if lane not in self._by_lane:
            self._by_lane[lane] = self._factors()[lane : lane + 1].squeeze(0)
        return self._by_lane[lane]
