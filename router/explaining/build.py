"""Works out an explanation: asks the router for its trace, then each part. Logs nothing."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from router import Router, Trace
from router.decision import Topic, Turn
from router.explaining import counterfactual, rules
from router.explaining.corrected import Corrected
from router.explaining.counterfactual import Change, WithoutWords
from router.explaining.explanation import Explanation, Terms, TurnPart
from router.explaining.nearest import Indexes
from router.explaining.shown import shown
from router.explaining.terms import contrast, halves
from router.policy import rank, rule_of
from router.reading.head import Reading, signals_of
from router.talk import turns as talk
from router.talk.track import follow

DIGEST_CHARS = 12
TURN_CHARS = 80

_INDEXES = Indexes()


def explain(
    router: Router, turns: Sequence[Turn | tuple[str, str]], earlier: Topic | None = None
) -> Explanation:
    """Explain what ``router.classify`` says; a hundred times its work. Never raises."""
    trace = router.trace(turns, earlier)
    if trace.readings:
        return _of_readings(router, trace, earlier)
    return Explanation(
        trace.decision,
        router.digest[:DIGEST_CHARS],
        trace.rule,
        rules.sentence_of(trace.rule),
        _limits(router, trace),
    )


def _of_readings(router: Router, trace: Trace, earlier: Topic | None) -> Explanation:
    measured, measured_on = _measured(trace)
    same = router.signals(measured).scores == trace.decision.scores
    rule, at = _rule(router, trace, earlier), _turn_to_explain(trace)
    read = router.read_as(trace.texts[at])
    terms = _explained(router, trace, at, read)
    return Explanation(
        trace.decision,
        router.digest[:DIGEST_CHARS],
        rule,
        rules.sentence_of(rule),
        _limits(router, trace),
        measured_on,
        measured_on if same else "all turns together",
        rules.checks(router, measured),
        _signals(measured),
        _parts(trace),
        Corrected.of(trace.texts[at], read).words(),
        terms,
        _INDEXES.of(router).nearest(read),
        _changes(router, trace, earlier, measured, terms, read),
    )


def _measured(trace: Trace) -> tuple[Reading, str]:
    """The reading that the numbered rules were held against."""
    if len(trace.readings) == 1:
        return trace.readings[0], "the text"
    if trace.rule == "a":
        return talk.combine(trace.readings), "all turns together"
    return trace.readings[0], "the newest turn alone"


def _rule(router: Router, trace: Trace, earlier: Topic | None) -> str:
    if len(trace.readings) > 1 or earlier is not None:
        return trace.rule
    thresholds = router.weights.thresholds
    return str(rule_of(router.signals(trace.readings[0]), thresholds))


def _turn_to_explain(trace: Trace) -> int:
    """Newest is 0: it decides alone, except where all turns together do."""
    if trace.rule != "a":
        return 0
    return int(np.argmax(talk.weigh(trace.readings)))


def _explained(router: Router, trace: Trace, at: int, read: str) -> Terms | None:
    reading = trace.readings[at]
    found = contrast(router.weights, read, reading)
    if found is None:
        return None
    both = None if router.is_fast else halves(router.weights, read, reading, found.best)
    return Terms(len(trace.texts) - at, found, both)


def _changes(
    router: Router,
    trace: Trace,
    earlier: Topic | None,
    measured: Reading,
    terms: Terms | None,
    read: str,
) -> list[Change]:
    found: list[Change] = []
    if trace.decision.domain is None:
        found += counterfactual.by_limits(router, trace.readings, measured, earlier)
    if terms is not None:
        found += _without_words(router, trace, earlier, terms, read)
    return found


def _without_words(
    router: Router, trace: Trace, earlier: Topic | None, terms: Terms, read: str
) -> list[Change]:
    """Words are left out of the text as typed, which the router then reads again."""
    texts, at = list(trace.texts), len(trace.texts) - terms.turn
    beside = Corrected.of(texts[at], read)
    texts[at] = beside.text
    words = [replace(w, spans=beside.typed_spans(w.spans)) for w in terms.contrast.words()]
    return WithoutWords(router, texts, at, earlier).changes(words, trace.decision)


def _limits(router: Router, trace: Trace) -> dict[str, float | dict[str, float]]:
    limits, top = router.weights.thresholds, rank(trace.decision.scores)
    return {
        "outlier": limits.outlier,
        "margin": limits.margin,
        "any_domain": limits.any_domain,
        "per_domain": {name: limits.of(name) for name in (top.best, top.second) if name},
    }


def _signals(reading: Reading) -> dict[str, float]:
    names = ("lead_of_general", "log_best", "log_margin", "known_letters", "energy")
    named = dict(zip(names, map(float, signals_of(reading)), strict=True))
    return named | {"topic_words": reading.topic_words, "follow_up": reading.follow_up}


def _parts(trace: Trace) -> list[TurnPart]:
    """Oldest first; none for a single turn."""
    if len(trace.readings) == 1:
        return []
    shares = talk.weigh(trace.readings)[::-1]
    texts = trace.texts[::-1]
    return [_part(trace, at, texts[at], share) for at, share in enumerate(shares)]


def _part(trace: Trace, at: int, text: str, share: float) -> TurnPart:
    alone = trace.steps[at].alone
    newest = at == len(trace.steps) - 1
    after = trace.decision if newest else follow(trace.steps[: at + 1], None)[0]
    return TurnPart(
        turn=at + 1,
        text=shown(text, TURN_CHARS),
        share=share,
        alone=alone.domain,
        best=rank(alone.scores).best,
        best_chance=alone.confidence,
        after=after.domain,
    )
