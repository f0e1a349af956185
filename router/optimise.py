"""Multinomial logistic regression on sparse rows: own L-BFGS, numpy only, used by fit alone."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from router.features import Columns, Floats, Row

Objective = Callable[[Floats], tuple[float, Floats]]


@dataclass(frozen=True)
class Matrix:
    """Rows stored by row and by column, on the columns that occur at least ``floor`` times."""

    columns: Columns  # (width,) feature column of each compact column
    cells: Columns  # (nnz,) compact column, by row
    values: Floats  # (nnz,)
    row_starts: Columns
    cell_rows: Columns  # (nnz,) row of each cell, by column
    column_values: Floats  # (nnz,) values, by column
    column_starts: Columns
    products: Floats  # (nnz, classes) scratch: one Matrix is for one thread

    @classmethod
    def of(cls, rows: Sequence[Row], floor: int, classes: int) -> "Matrix":
        """Compact the rows; a bias column of ones keeps every row non-empty."""
        every = np.concatenate([row.columns for row in rows])
        distinct, counts = np.unique(every, return_counts=True)
        kept = distinct[counts >= floor]
        cells: list[Columns] = []
        values: list[Floats] = []
        for row in rows:
            inside = np.isin(row.columns, kept, assume_unique=True)
            place = np.searchsorted(kept, row.columns[inside])
            cells.append(np.append(place, len(kept)).astype(np.int64))
            values.append(np.append(row.values[inside], np.float32(1.0)))
        flat, numbers = np.concatenate(cells), np.concatenate(values)
        order = np.argsort(flat, kind="stable")
        sizes = np.array([len(part) for part in cells])
        owner = np.repeat(np.arange(len(rows)), sizes)
        return cls(
            columns=kept,
            cells=flat,
            values=numbers,
            row_starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]),
            cell_rows=owner[order],
            column_values=numbers[order],
            column_starts=np.searchsorted(flat[order], np.arange(len(kept) + 1)),
            products=np.empty((len(flat), classes), np.float32),
        )

    def times(self, weights: Floats) -> Floats:
        """(rows, classes) = rows @ weights."""
        return self._sums(weights, self.cells, self.values, self.row_starts)

    def transposed_times(self, errors: Floats) -> Floats:
        """(columns + 1, classes) = rows^T @ errors."""
        return self._sums(errors, self.cell_rows, self.column_values, self.column_starts)

    def _sums(self, table: Floats, at: Columns, scale: Floats, starts: Columns) -> Floats:
        # one buffer for all products: fresh ones cost more in page faults than in arithmetic
        np.take(table, at, axis=0, out=self.products, mode="clip")
        np.multiply(self.products, scale[:, None], out=self.products)
        return np.add.reduceat(self.products, starts, axis=0)


def logistic(matrix: Matrix, targets: Floats, importance: Floats, penalty: float) -> Objective:
    """Mean weighted cross-entropy plus ``penalty``/2 * |W|^2, the bias row unpenalised."""
    total = np.float32(importance.sum())
    shape = (len(matrix.columns) + 1, targets.shape[1])
    decay = np.full((shape[0], 1), penalty, np.float32)
    decay[-1] = 0.0

    def value_and_gradient(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        logits = matrix.times(weights)
        logits -= logits.max(axis=1, keepdims=True)
        chances = np.exp(logits)
        sums = chances.sum(axis=1, keepdims=True)
        losses = np.log(sums[:, 0]) - (logits * targets).sum(axis=1)
        errors = (chances / sums - targets) * (importance / total)[:, None]
        gradient = matrix.transposed_times(errors) + decay * weights
        value = (losses * importance).sum() / total + 0.5 * (decay * weights * weights).sum()
        return float(value), gradient.astype(np.float32).ravel()

    return value_and_gradient


def minimise(
    objective: Objective,
    start: Floats,
    *,
    steps: int,
    memory: int = 8,
    tolerance: float = 1e-4,
    on_step: Callable[[int, float], None] = lambda _step, _value: None,
) -> Floats:
    """L-BFGS with backtracking; stops when a step gains less than ``tolerance``, relatively."""
    point = start.copy()
    value, gradient = objective(point)
    pairs: deque[tuple[Floats, Floats, float]] = deque(maxlen=memory)
    for step in range(steps):
        direction = _direction(gradient, pairs)
        slope = float(gradient @ direction)
        size = 1.0 if pairs else 1.0 / max(1e-6, float(np.abs(gradient).sum()))
        for _ in range(20):
            trial = _moved(point, size, direction)
            trial_value, trial_gradient = objective(trial)
            if trial_value <= value + 1e-4 * size * slope:
                break
            size *= 0.5
        else:
            return point
        moved, bent = trial - point, trial_gradient - gradient
        curvature = float(moved @ bent)
        if curvature > 1e-12:
            pairs.append((moved, bent, curvature))
        gain = (value - trial_value) / max(abs(value), 1e-9)
        point, value, gradient = trial, trial_value, trial_gradient
        on_step(step + 1, value)
        if gain < tolerance and step > 3:
            break
    return point


def _moved(point: Floats, size: float, direction: Floats) -> Floats:
    return np.asarray(point + size * direction, np.float32)


def _direction(gradient: Floats, pairs: deque[tuple[Floats, Floats, float]]) -> Floats:
    """Two-loop recursion (Nocedal and Wright, algorithm 7.4)."""
    direction = -gradient
    shares: list[float] = []
    for moved, bent, curvature in reversed(pairs):
        share = float(moved @ direction) / curvature
        direction = _moved(direction, -share, bent)
        shares.append(share)
    if pairs:
        _, bent, curvature = pairs[-1]
        direction = _moved(np.zeros_like(direction), curvature / float(bent @ bent), direction)
    for (moved, bent, curvature), share in zip(pairs, reversed(shares), strict=True):
        again = float(bent @ direction) / curvature
        direction = _moved(direction, share - again, moved)
    return direction
