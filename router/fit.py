"""``python -m router.fit``: exemplars -> weights.npz, in under a minute on one core.

Themes are held out fold by fold, never texts at random: the held-out readings choose the
temperature and the thresholds, then the head is refitted on everything. Same data, same numpy:
same bytes. Test prompts (tests/router/data) are never read here.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from router import calibrate, features, weights
from router.augment import framed, sloppy
from router.calibrate import HeldOut
from router.errors import RouterError
from router.exemplars import Exemplar, fold_of, labels_of, read_folder, read_terms
from router.features import Floats, Grams
from router.head import Thresholds, Weights, read
from router.optimise import Matrix, logistic, minimise

HERE = Path(__file__).parent
FOLDS = 4
PENALTY = 3e-6
TERM_IMPORTANCE = 0.5
COPY_IMPORTANCE = 0.5
FRAME_IMPORTANCE = 0.5
LEAST_OCCURRENCES = 2
STEPS = 60
TOLERANCE = 5e-4

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Sample:
    """A training text with its features and its weight in the loss."""

    exemplar: Exemplar
    grams: Grams
    importance: float


def sample_all(exemplars: Sequence[Exemplar], terms: Sequence[Exemplar]) -> list[Sample]:
    """Exemplars, one sloppy copy of each, and the glossary, bare and as questions."""
    weighted = [(exemplar, 1.0) for exemplar in exemplars]
    weighted += [(sloppy(exemplar, 1), COPY_IMPORTANCE) for exemplar in exemplars]
    weighted += [(term, TERM_IMPORTANCE) for term in terms]
    weighted += [(framed(term, 1), FRAME_IMPORTANCE) for term in terms]
    return [
        Sample(exemplar, features.extract(features.excerpt(exemplar.text)), importance)
        for exemplar, importance in weighted
    ]


def train(samples: Sequence[Sample], labels: Sequence[str], progress: Progress) -> Weights:
    """The head of these samples, uncalibrated."""
    idf, seen = _idf([sample.grams for sample in samples])
    rows = [features.row(sample.grams, idf) for sample in samples]
    matrix = Matrix.of(rows, LEAST_OCCURRENCES, len(labels))
    targets = np.zeros((len(rows), len(labels)), np.float32)
    targets[np.arange(len(rows)), [labels.index(s.exemplar.label) for s in samples]] = 1.0
    importance = np.array([sample.importance for sample in samples], np.float32)
    solution = minimise(
        logistic(matrix, targets, importance, PENALTY),
        np.zeros((len(matrix.columns) + 1) * len(labels), np.float32),
        steps=STEPS,
        tolerance=TOLERANCE,
        on_step=lambda step, value: progress(f"loss {value:.4f}", step / STEPS),
    ).reshape(-1, len(labels))
    full = np.zeros((features.WIDTH, len(labels)), np.float32)
    full[matrix.columns] = solution[:-1]
    return Weights(tuple(labels), full, solution[-1], idf, seen, 1.0, Thresholds())


def _idf(grams: Sequence[Grams]) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Smoothed inverse document frequency of every column, and which occur at all."""
    frequency = np.zeros(features.WIDTH, np.float32)
    for each in grams:
        found = np.concatenate([each.words, each.pairs, each.letters, each.cues])
        frequency[np.unique(found)] += 1
    return np.log((1 + len(grams)) / (1 + frequency)).astype(np.float32), frequency > 0


def hold_out(samples: Sequence[Sample], labels: Sequence[str], progress: Progress) -> HeldOut:
    """Readings of every plain exemplar by a head that never saw its theme."""
    kept: list[tuple[Floats, float, int]] = []
    for fold in range(FOLDS):
        inside = [s for s in samples if _is_term(s) or fold_of(s.exemplar, FOLDS) != fold]
        head = train(inside, labels, lambda what, part, f=fold: progress(what, (f + part) / FOLDS))
        for sample in samples:
            plain = sample.importance == 1.0 and not _is_term(sample)
            if plain and fold_of(sample.exemplar, FOLDS) == fold:
                reading = read(head, sample.grams)
                truth = labels.index(sample.exemplar.label)
                kept.append((reading.logits, reading.known_share, truth))
    return HeldOut(
        np.array([logits for logits, _, _ in kept], np.float32),
        np.array([share for _, share, _ in kept], np.float32),
        np.array([truth for _, _, truth in kept], np.int64),
    )


def _is_term(sample: Sample) -> bool:
    return sample.exemplar.theme == "glossary"


def fit(data: Path, terms: Path | None, progress: Progress) -> tuple[Weights, str]:
    """Calibrated weights, and one line with the dev figures. Raises RouterError."""
    exemplars = read_folder(data)
    labels = labels_of(exemplars)
    glossary = read_terms(terms, labels) if terms is not None else []
    samples = sample_all(exemplars, glossary)
    held = hold_out(samples, labels, lambda what, part: progress(f"dev {what}", 0.75 * part))
    heat = calibrate.temperature(held)
    limits = calibrate.thresholds(held, heat)
    final = train(samples, labels, lambda what, part: progress(f"all {what}", 0.75 + 0.25 * part))
    chances = calibrate.softmax(held.logits, heat)
    predicted = calibrate.predict(held, chances, limits)
    figures = (
        f"dev (unseen themes): accuracy {np.mean(predicted == held.truth):.3f}, "
        f"macro-F1 {calibrate.macro_f1(held.truth, predicted):.3f}, temperature {heat}, {limits}"
    )
    return replace(final, temperature=heat, thresholds=limits), figures


def _show(what: str, part: float) -> None:
    bar = "#" * int(30 * part)
    sys.stderr.write(f"\r[{bar:<30}] {100 * part:3.0f} %  {what:<24}")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m router.fit", description=__doc__)
    parser.add_argument("--data", type=Path, default=HERE / "data", help="folder of exemplars")
    parser.add_argument("--terms", type=Path, default=HERE / "terms.yaml", help="the glossary")
    parser.add_argument("--out", type=Path, default=HERE / "weights.npz")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        made, figures = fit(chosen.data, chosen.terms, _show)
    except RouterError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    weights.save(made, chosen.out)
    size_kib = chosen.out.stat().st_size / 1024
    sys.stderr.write(f"\n{figures}\n")
    sys.stderr.write(f"{chosen.out}: {size_kib:.0f} KiB, {time.monotonic() - began:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
