"""The product of rows with their own factors, in the ways that backends are good at.

Both compute, for x (batch, seq, k), factors (lanes, k, n), lanes (n_rows,) and rows
(n_rows,) or None for every row in turn: ``y[i] = x[rows[i]] @ factors[lanes[i]]``.
tests/worker/lora/test_kernels.py holds each against that formula on every path; mlx #4253
is why (sorted gathers once gave wrong numbers).
"""

from typing import Protocol

import mlx.core as mx


class Kernel(Protocol):
    """One way to multiply rows with their own factors; owned by the engine thread."""

    def __call__(
        self, x: mx.array, factors: mx.array, lanes: mx.array, rows: mx.array | None = None
    ) -> mx.array: ...


def gather_kernel(
    x: mx.array, factors: mx.array, lanes: mx.array, rows: mx.array | None = None
) -> mx.array:
    """``mx.gather_mm``, indices unsorted: reads the rows and the stacked factors in place.

    Best on the CPU backend (44 us for 16 rows of 512 -> 48, against 91 us for one dense
    product over ten adapters with a mask), where it takes float32 only; Metal has kernels
    of its own for it. Never ``sorted_indices=True`` (mlx #4253).
    """
    return mx.gather_mm(x, factors, lhs_indices=rows, rhs_indices=lanes)


def batched_kernel(
    x: mx.array, factors: mx.array, lanes: mx.array, rows: mx.array | None = None
) -> mx.array:
    """A copy of each row's factors, then one batched product.

    For CUDA, where unsorted bfloat16 ``gather_mm`` measured 31 times a dense product
    (mlx #4339), and for half precision on the CPU.
    """
    return (x if rows is None else x[rows]) @ factors[lanes]


def choose_kernel(dtype: mx.Dtype) -> Kernel:
    """The kernel for this process's default device and this dtype."""
    if mx.default_device().type == mx.DeviceType.cpu:
        return gather_kernel if dtype == mx.float32 else batched_kernel
    return gather_kernel if mx.metal.is_available() else batched_kernel
