"""Multinomial logistic regression by scipy's L-BFGS-B."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from router.reading import features
from router.reading.features import Columns, Floats, Row

# scipy ships no types; Any says so once
_sparse: Any = import_module("scipy.sparse")
_minimise: Any = import_module("scipy.optimize").minimize

OnStep = Callable[[int, float], None]
Sparse = Any
"""scipy's CSR matrix, float32."""


def sparse_matrix(rows: Sequence[Row]) -> Sparse:
    """Shape (rows, features.WIDTH)."""
    starts = np.cumsum([0, *(len(row.columns) for row in rows)])
    values = np.concatenate([row.values for row in rows])
    columns = np.concatenate([row.columns for row in rows])
    shape = (len(rows), features.WIDTH)
    return _sparse.csr_matrix((values, columns, starts), shape=shape, dtype=np.float32)


def frequent_columns(matrix: Sparse, floor: int) -> Columns:
    """The columns that at least ``floor`` rows have, ascending."""
    return np.flatnonzero(matrix.getnnz(axis=0) >= floor)


def mean_rows(matrix: Sparse, groups: Sequence[Sequence[int]]) -> Sparse:
    """(groups, columns): the mean of each group's rows, scaled to unit length."""
    rows = np.concatenate([np.asarray(group, np.int64) for group in groups])
    starts = np.cumsum([0, *map(len, groups)])
    ones = np.ones(len(rows), np.float32)
    shape = (len(groups), matrix.shape[0])
    means = _sparse.csr_matrix((ones, rows, starts), shape=shape) @ matrix
    lengths = np.sqrt(np.asarray(means.multiply(means).sum(axis=1)).ravel()) + 1e-9
    return _sparse.diags(1.0 / lengths).dot(means).tocsr()


def with_bias(matrix: Floats | Sparse) -> Sparse:
    """A last column of ones; a dense matrix becomes a sparse one."""
    rows = _sparse.csr_matrix(matrix)
    ones = np.ones((rows.shape[0], 1), np.float32)
    return _sparse.hstack([rows, ones]).tocsr()


def logistic_regression(
    matrix: Floats | Sparse,
    targets: Floats,
    importance: Floats,
    *,
    penalty: float,
    steps: int = 200,
    tolerance: float = 1e-4,
    on_step: OnStep = lambda _step, _value: None,
) -> Floats:
    """(columns + 1, labels): least mean weighted cross-entropy plus ``penalty``/2 * |W|^2.

    ``matrix`` (rows, columns) is CSR or dense; ``targets`` (rows, labels) are distributions.
    The last row of the result is the bias, which is not penalised.
    """
    inputs = with_bias(matrix)
    transposed: Sparse = inputs.T.tocsr()
    shape: tuple[int, int] = (inputs.shape[1], targets.shape[1])
    share = (importance / importance.sum())[:, None].astype(np.float32)
    decay = np.full((shape[0], 1), penalty, np.float32)
    decay[-1] = 0.0
    taken = 0

    def value_and_gradient(flat: Any) -> tuple[float, Any]:
        weights = flat.reshape(shape).astype(np.float32)
        logits = inputs @ weights
        logits -= logits.max(axis=1, keepdims=True)
        chances = np.exp(logits)
        sums = chances.sum(axis=1, keepdims=True)
        losses = (np.log(sums) - (logits * targets).sum(axis=1, keepdims=True)) * share
        gradient = transposed @ ((chances / sums - targets) * share) + decay * weights
        value = losses.sum() + 0.5 * (decay * weights * weights).sum()
        return float(value), gradient.ravel().astype(np.float64)

    def on_iteration(intermediate_result: Any) -> None:
        nonlocal taken
        taken += 1
        on_step(taken, float(intermediate_result.fun))

    found = _minimise(
        value_and_gradient,
        np.zeros(shape[0] * shape[1]),
        jac=True,
        method="L-BFGS-B",
        callback=on_iteration,
        options={"maxiter": steps, "ftol": tolerance, "gtol": 1e-9, "maxcor": 5},
    )
    return found.x.reshape(shape).astype(np.float32)
