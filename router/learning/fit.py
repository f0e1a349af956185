"""Exemplars -> weights, in under a minute on one core. Same material, same numpy: same bytes.

One head is trained on all exemplars; temperature, out-of-domain score and thresholds are
then chosen on dev, whose authors wrote no exemplar. Test prompts are never read here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from router.decision import GENERAL
from router.learning import calibrate
from router.learning.augment import thinned
from router.learning.calibrate import Dev
from router.learning.claims import settle
from router.learning.exemplars import Exemplar, labels_of
from router.learning.extraction import remembering
from router.learning.material import Material
from router.learning.optimise import frequent_columns, logistic_regression, sparse_matrix
from router.learning.samples import Sample, sample_all
from router.learning.typos import mistype
from router.policy import Thresholds
from router.reading import features
from router.reading.encoder import Encoder
from router.reading.features import Columns, Floats, Grams
from router.reading.head import FollowUp, Outlier, Reading, SentenceHead, Weights, read, signals_of
from router.reading.spelling import Spelling, known_words

PENALTY = 1e-5
SENTENCE_PENALTY = 1e-4
FOLLOW_UP_PENALTY = 1e-4
TYPO_SEED = 7
VAGUE = frozenset({"small-talk", "chat-meta", "text-work"})
"""Themes of general that have no topic either."""
SECOND_LABEL = 0.3
FOLLOWING = 0.005
"""Share of the dev prompts of other domains that an own domain's lead may win over."""
MOST_LEAD = 4.0
LEAST_OCCURRENCES = 2
STEPS = 120

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Fitted:
    """What fit made, and what it has to say about it."""

    weights: Weights
    figures: str  # one line, on dev
    notes: list[str]


def fit(material: Material, progress: Progress, encoder: Encoder | None = None) -> Fitted:
    """Calibrated weights of a fleet's domains."""
    progress("reading exemplars", 0.02)
    extract = remembering()
    settled = settle(material.exemplars, material.terms, material.own, extract)
    exemplars, labels = settled.exemplars, labels_of(settled.exemplars)
    samples = sample_all(exemplars, [t for t in settled.terms if t.label in labels], extract)
    weights = train(samples, labels, lambda what, part: progress(what, 0.1 + 0.6 * part))
    progress("follow-ups", 0.7)
    learned = (*exemplars, *settled.terms)
    weights = replace(
        weights,
        words=tuple(known_words(e.text for e in learned)),
        follow_up=follow_up_head(weights, samples, material.follow_ups),
        exemplars=tuple((e.label, e.text) for e in exemplars),
    )
    dev = [e for e in material.dev if e.label in labels]
    weights = preferring(weights, material.own, [e for e in dev if e.label != GENERAL])
    dev = _judgeable(material, dev, weights)
    if encoder is not None:
        progress("reading sentences", 0.7)
        weights = replace(weights, sentence=sentence_head(exemplars, dev, labels, encoder))
    progress("thresholds", 0.85)
    weights, figures = calibrated(weights, dev, encoder)
    progress("done", 1.0)
    return Fitted(weights, figures, settled.notes)


def train(samples: Sequence[Sample], labels: Sequence[str], progress: Progress) -> Weights:
    """The head of these samples, uncalibrated."""
    idf, seen = _idf([sample.grams for sample in samples])
    matrix = sparse_matrix([features.row(sample.grams, idf) for sample in samples])
    kept = frequent_columns(matrix, LEAST_OCCURRENCES)
    solution = logistic_regression(
        matrix[:, kept],
        _targets([sample.exemplar for sample in samples], labels),
        np.array([sample.importance for sample in samples], np.float32),
        penalty=PENALTY,
        steps=STEPS,
        on_step=lambda step, value: progress(f"training, loss {value:.4f}", step / STEPS),
    )
    full = np.zeros((features.WIDTH, len(labels)), np.float32)
    full[kept] = solution[:-1]
    return Weights(tuple(labels), full, solution[-1], idf, seen, 1.0, Outlier(), Thresholds())


def _targets(exemplars: Sequence[Exemplar], labels: Sequence[str]) -> Floats:
    """(texts, labels): the class, and a share for a second one."""
    targets = np.zeros((len(exemplars), len(labels)), np.float32)
    for row, exemplar in zip(targets, exemplars, strict=True):
        row[labels.index(exemplar.label)] = 1.0
        if exemplar.also in labels and exemplar.also != exemplar.label:
            row[labels.index(exemplar.label)] = 1.0 - SECOND_LABEL
            row[labels.index(exemplar.also)] = SECOND_LABEL
    return targets


def _idf(grams: Sequence[Grams]) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Smoothed inverse document frequency of every column, and which occur at all."""
    frequency = np.zeros(features.WIDTH, np.float32)
    for each in grams:
        found = np.concatenate([each.words, each.pairs, each.letters, each.cues])
        frequency[np.unique(found)] += 1
    return np.log((1 + len(grams)) / (1 + frequency)).astype(np.float32), frequency > 0


def follow_up_head(
    weights: Weights, samples: Sequence[Sample], follow_ups: Sequence[Exemplar]
) -> FollowUp:
    """Tells turns that lean on earlier ones from those with a topic of their own."""
    topics = [s.grams for s in samples if s.importance == 1.0 and s.exemplar.theme not in VAGUE]
    leaning = [features.extract(e.text) for e in follow_ups]
    leaning += [features.extract(thinned(e, 0).text) for e in follow_ups]
    if not topics or not leaning:
        return FollowUp()
    matrix = sparse_matrix([features.row(g, weights.idf) for g in (*topics, *leaning)])
    kept = frequent_columns(matrix, LEAST_OCCURRENCES)
    sides = np.repeat([0, 1], [len(topics), len(leaning)])
    share = np.where(sides == 1, 1.0 / len(leaning), 1.0 / len(topics)).astype(np.float32)
    targets = np.eye(2, dtype=np.float32)[sides]
    solved = logistic_regression(matrix[:, kept], targets, share, penalty=FOLLOW_UP_PENALTY)
    full = np.zeros(features.WIDTH, np.float32)
    full[kept] = solved[:-1, 1] - solved[:-1, 0]
    return FollowUp(full, float(solved[-1, 1] - solved[-1, 0]))


def sentence_head(
    exemplars: Sequence[Exemplar], dev: Sequence[Exemplar], labels: Sequence[str], encoder: Encoder
) -> SentenceHead:
    """The second head, on a sentence encoder's embeddings, with its own temperature."""
    solution = logistic_regression(
        encoder.encode([e.text for e in exemplars]),
        _targets(exemplars, labels),
        np.ones(len(exemplars), np.float32),
        penalty=SENTENCE_PENALTY,
    )
    matrix, bias = solution[:-1], solution[-1]
    heat = 1.0
    if dev:
        logits = encoder.encode([e.text for e in dev]) @ matrix + bias
        heat = calibrate.temperature(logits, _truth(dev, labels))
    return SentenceHead(encoder.source, encoder.digest, matrix, bias, heat)


def calibrated(
    weights: Weights, dev: Sequence[Exemplar], encoder: Encoder | None
) -> tuple[Weights, str]:
    """With temperature, out-of-domain score and thresholds chosen on ``dev``."""
    if not dev:
        return weights, "no dev prompts for these domains: thresholds are the defaults"
    plain = np.stack([reading.logits for reading in _readings(weights, dev)])
    heat = calibrate.temperature(plain, _truth(dev, weights.labels))
    weights = replace(weights, temperature=heat)
    # also with typos, at half the weight: those lower every signal, and must not end at the base
    prompts = len(dev)
    dev = [*dev, *dev, *(replace(e, text=mistype(e.text, TYPO_SEED)) for e in dev)]
    readings = _readings(weights, dev, encoder)
    held = _as_dev(readings, _truth(dev, weights.labels), _seconds(dev, weights.labels))
    rule = calibrate.outlier(held)
    limits = calibrate.thresholds(held, rule, weights.labels)
    chances = calibrate.softmax(held.logits)
    scores = calibrate.outlier_scores(rule, held.signals)
    found = calibrate.predict(held, chances, scores, limits, weights.labels)
    right = np.count_nonzero((found == held.truth) | (found == held.also)) / len(found)
    figures = (
        f"dev ({prompts} prompts, with and without typos): accuracy {right:.3f}, "
        f"macro-F1 {calibrate.macro_f1(held, found):.3f}, temperature {weights.temperature}"
    )
    return replace(weights, outlier=rule, thresholds=limits), figures


def _as_dev(readings: Sequence[Reading], truth: Columns, also: Columns) -> Dev:
    return Dev(
        np.stack([reading.logits for reading in readings]),
        np.stack([signals_of(reading) for reading in readings]),
        np.array([reading.known_share > 0 for reading in readings]),
        truth,
        also,
    )


def _truth(dev: Sequence[Exemplar], labels: Sequence[str]) -> Columns:
    return np.array([labels.index(e.label) for e in dev], np.int64)


def _seconds(dev: Sequence[Exemplar], labels: Sequence[str]) -> Columns:
    return np.array([labels.index(e.also if e.also in labels else e.label) for e in dev], np.int64)


def preferring(weights: Weights, own: Sequence[str], dev: Sequence[Exemplar]) -> Weights:
    """A lead for the fleet's own domains, as long as hardly any dev prompt of others follows it.

    Eight examples say less than 250, so that their domain is seldom ahead of ``general``,
    which knows a little of everything.
    """
    if not dev:
        return weights
    logits = np.stack([reading.logits for reading in _readings(weights, dev)])
    bias = weights.bias.copy()
    for name in own:
        place = weights.labels.index(name)
        others = np.delete(logits + (bias - weights.bias), place, axis=1).max(axis=1)
        behind = np.sort(others - logits[:, place])
        allowed = int(FOLLOWING * len(dev))
        bias[place] += np.clip(behind[allowed], 0.0, MOST_LEAD)
    return replace(weights, bias=bias)


def _readings(
    weights: Weights, prompts: Sequence[Exemplar], encoder: Encoder | None = None
) -> list[Reading]:
    """As the router reads them."""
    spelling = Spelling(weights.words)
    texts = [features.excerpt(prompt.text) for prompt in prompts]
    grams = [features.extract(spelling.correct(text)) for text in texts]
    sentences = [None] * len(texts) if encoder is None else encoder.encode(texts)
    return [read(weights, g, s) for g, s in zip(grams, sentences, strict=True)]


def _judgeable(material: Material, dev: list[Exemplar], weights: Weights) -> list[Exemplar]:
    """Dev less what one of the fleet's own domains may rightly claim: its authors knew none."""
    if not material.own:
        return dev
    mine = [weights.labels.index(name) for name in material.own]
    return [
        e
        for e, reading in zip(dev, _readings(weights, dev), strict=True)
        if e.label != GENERAL or int(reading.logits.argmax()) not in mine
    ]
