"""Each kernel against the plain formula on every path (mlx #4253 gave silently wrong numbers)."""

import mlx.core as mx
import numpy as np
import pytest

from worker.lora.kernels import Kernel, batched_kernel, choose_kernel, gather_kernel

ON_CPU = mx.default_device().type == mx.DeviceType.cpu
SLOTS, IN, OUT = 5, 48, 24
INDICES = {
    "one row": [3],
    "sorted": [0, 1, 2, 3, 4],
    "unsorted": [4, 0, 3, 1],
    "repeated": [2, 2, 0, 2, 4, 4],
    "all alike": [3, 3, 3],
    "only bare": [0, 0],
    "many rows": [(7 * i + 3) % SLOTS for i in range(33)],
}
LENGTHS = [1, 2, 17]
HALF = [mx.float16, mx.bfloat16]
# relative to the largest value; half precision keeps 11 and 8 bits
TOLERANCE = {mx.float32: 1e-5, mx.float16: 4e-3, mx.bfloat16: 3e-2}


def check(kernel: Kernel, indices: list[int], length: int, dtype: mx.Dtype, wide: int = IN) -> None:
    """``kernel`` gives x[i] @ factors[indices[i]], as numpy computes it in float64."""
    rng = np.random.default_rng(len(indices) * 100 + length)
    x = mx.array(rng.standard_normal((len(indices), length, wide))).astype(dtype)
    factors = mx.array(rng.standard_normal((SLOTS, wide, OUT))).astype(dtype)
    factors[0] = 0
    found = kernel(x, factors, mx.array(indices, dtype=mx.uint32))
    assert found.dtype == dtype
    plain_x = np.array(x.astype(mx.float32), dtype=np.float64)
    plain_factors = np.array(factors.astype(mx.float32), dtype=np.float64)
    for row, slot in enumerate(indices):
        expected = plain_x[row] @ plain_factors[slot]
        error = np.abs(np.array(found[row].astype(mx.float32)) - expected).max()
        assert error <= TOLERANCE[dtype] * max(1.0, np.abs(expected).max()), (row, slot)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("indices", INDICES.values(), ids=INDICES)
@pytest.mark.parametrize("kernel", [gather_kernel, batched_kernel])
def test_float32_is_the_plain_formula(kernel: Kernel, indices: list[int], length: int) -> None:
    check(kernel, indices, length, mx.float32)


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("indices", INDICES.values(), ids=INDICES)
def test_half_precision_batched_is_the_plain_formula(
    indices: list[int], length: int, dtype: mx.Dtype
) -> None:
    check(batched_kernel, indices, length, dtype)


@pytest.mark.skipif(ON_CPU, reason="gather_mm takes float32 only on the CPU backend")
@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("length", LENGTHS)
def test_half_precision_gather_is_the_plain_formula(length: int, dtype: mx.Dtype) -> None:
    check(gather_kernel, INDICES["repeated"], length, dtype)


@pytest.mark.parametrize("kernel", [gather_kernel, batched_kernel])
@pytest.mark.parametrize("wide", [1, 16, 512])
def test_any_inner_width(kernel: Kernel, wide: int) -> None:
    check(kernel, INDICES["unsorted"], 3, mx.float32, wide)


@pytest.mark.parametrize("kernel", [gather_kernel, batched_kernel])
def test_strided_input_is_the_plain_formula(kernel: Kernel) -> None:
    """The parts of a split product are views with gaps; a kernel must honour the strides."""
    both = mx.random.normal((4, 3, 2 * IN))
    factors = mx.random.normal((SLOTS, IN, OUT))
    indices = mx.array([4, 0, 4, 1], dtype=mx.uint32)
    for part in mx.split(both, 2, axis=-1):
        expected = mx.stack([part[i] @ factors[s] for i, s in enumerate([4, 0, 4, 1])])
        assert mx.allclose(kernel(part, factors, indices), expected, atol=1e-4)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("indices", INDICES.values(), ids=INDICES)
@pytest.mark.parametrize("kernel", [gather_kernel, batched_kernel])
def test_transposed_factors_are_the_plain_formula(
    kernel: Kernel, indices: list[int], length: int
) -> None:
    """A factors are stored (slots, rank, in) and read through a transposed view."""
    x = mx.random.normal((len(indices), length, IN))
    factors = mx.random.normal((SLOTS, OUT, IN)).swapaxes(-1, -2)
    expected = mx.stack([x[i] @ factors[slot] for i, slot in enumerate(indices)])
    found = kernel(x, factors, mx.array(indices, dtype=mx.uint32))
    assert mx.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("rows", [[0], [3, 1], [5, 0, 2, 4]], ids=str)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kernel", [gather_kernel, batched_kernel])
def test_some_rows_of_a_batch_are_the_plain_formula(
    kernel: Kernel, length: int, rows: list[int]
) -> None:
    """The rows of one rank bucket are read where they stand in the batch."""
    x = mx.random.normal((6, length, IN))
    factors = mx.random.normal((SLOTS, OUT, IN)).swapaxes(-1, -2)
    lanes = [4, 1, 4, 0][: len(rows)]
    found = kernel(x, factors, mx.array(lanes, mx.uint32), mx.array(rows, mx.uint32))
    expected = mx.stack([x[row] @ factors[lane] for row, lane in zip(rows, lanes, strict=True)])
    assert mx.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("dtype", [mx.float32, *HALF], ids=str)
def test_chosen_kernel_computes_on_this_device(dtype: mx.Dtype) -> None:
    check(choose_kernel(dtype), INDICES["many rows"], 2, dtype)
