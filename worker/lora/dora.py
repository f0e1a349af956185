"""DoRA: the length that each output feature's row of the adapted weight is given.

``y = m / |W + s B A| * (W x + s B A x) + bias``: PEFT's and mlx-lm's mathematics, with the
norms computed once, when the adapter is put into its slot. Refuses to touch the bias.
"""

from typing import Any, cast

import mlx.core as mx
from mlx import nn

from worker.lora.files import Factors

# of the adapted weight in float32 at once, so that a wide layer needs no second copy of itself
ELEMENTS = 1 << 24


def gain_of(layer: Any, factors: Factors, elements: int = ELEMENTS) -> mx.array:
    """``m / |W + s B A| - 1`` of each output feature, float32 (out,), evaluated.

    Less one, so that what a row without DoRA has is zero, and half precision loses nothing.
    """
    assert factors.magnitude is not None
    a, b = factors.a, factors.b * factors.scale
    wide_in, wide_out = a.shape[0], b.shape[1]
    rows = max(1, elements // wide_in)
    norms: list[mx.array] = []
    for begin in range(0, wide_out, rows):
        part = slice(begin, begin + rows)
        norms.append(mx.linalg.norm(_weight(layer, part) + (a @ b[:, part]).T, axis=1))
        mx.eval(norms[-1])
    gain = factors.magnitude / mx.concatenate(norms) - 1
    mx.eval(gain)
    return gain


def _weight(layer: Any, rows: slice) -> mx.array:
    """Rows of a layer's weight (out, in) in float32, dequantised."""
    if not isinstance(layer, nn.QuantizedLinear):
        return layer.weight[rows].astype(mx.float32)
    biases = cast(mx.array | None, layer.get("biases"))
    whole = mx.dequantize(
        layer.weight[rows],
        layer.scales[rows],
        None if biases is None else biases[rows],
        group_size=layer.group_size,
        bits=layer.bits,
        mode=layer.mode,
    )
    return whole.astype(mx.float32)


class Gains:
    """What the rows of one layer are multiplied with, less one: (slots, out); made when the
    first DoRA adapter targets the layer."""

    def __init__(self, slots: int, wide_out: int, dtype: mx.Dtype) -> None:
        self._shape = (slots + 1, wide_out)
        self._dtype = dtype
        self._used: set[int] = set()
        self._stored: mx.array | None = None

    @property
    def nbytes(self) -> int:
        return 0 if self._stored is None else self._stored.nbytes

    def put(self, slot: int, gain: mx.array | None) -> None:
        """Set one slot's, None for no DoRA; evaluated."""
        if gain is None and slot not in self._used:
            return
        if self._stored is None:
            self._stored = mx.zeros(self._shape, self._dtype)
        self._stored[slot] = 0 if gain is None else gain.astype(self._dtype)
        mx.eval(self._stored)
        if gain is None:
            self._used.discard(slot)
        else:
            self._used.add(slot)

    def apply(self, y: mx.array, bias: mx.array | None, slots: mx.array) -> mx.array:
        """y (batch, seq, out), bias included, with each row's gain; zero changes nothing."""
        if not self._used or self._stored is None:
            return y
        bare = y if bias is None else y - bias
        return y + self._stored[slots][:, None] * bare
