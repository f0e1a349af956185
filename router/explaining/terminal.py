"""An explanation as lines for a terminal: aligned, at most 100 columns, no colours."""

import textwrap
from collections.abc import Iterable
from itertools import zip_longest

from router.explaining.explanation import NGRAMS_ONLY, Explanation, Terms
from router.explaining.shown import fitted, padded
from router.explaining.terms import Term

COLUMNS = 100
_BAR = 20


def lines(explanation: Explanation) -> list[str]:
    """Headed parts; those with nothing to say are left out."""
    parts = [
        ("", _decision(explanation)),
        (_of("rules", explanation.measured_on), _rules(explanation)),
        (_of("scores", explanation.scored_on), _scores(explanation)),
        (_of("signals", explanation.measured_on), _signals(explanation)),
        ("turns, oldest first", _turns(explanation)),
        ("typing errors, and what they were read as", _read_as(explanation)),
        ("", _terms(explanation.terms)),
        ("nearest training prompts", _nearest(explanation)),
        ("what would change it", _changes(explanation)),
    ]
    found: list[str] = []
    for title, body in parts:
        if body:
            found += [*([""] if found else []), *([title] if title else []), *body]
    return [fitted(line, COLUMNS).rstrip() for line in found]


def _of(title: str, what: str) -> str:
    return f"{title}, of {what}" if what else title


def _decision(explanation: Explanation) -> list[str]:
    decision = explanation.decision
    thresholds = explanation.thresholds
    each = thresholds["per_domain"]
    limits = [f"{name} {value:.4g}" for name, value in thresholds.items() if name != "per_domain"]
    if isinstance(each, dict):
        limits += [f"{name} {value:.4g}" for name, value in each.items()]
    return [
        f"domain      {decision.domain or 'none: the base answers'}",
        f"confidence  {decision.confidence:.4f}",
        f"reason      {decision.reason}",
        *_wrapped("decided by  ", f"{_name(explanation.rule)}: {explanation.sentence}"),
        *_wrapped("limits      ", ", ".join(limits)),
        f"router      {explanation.digest or 'no file'}",
    ]


def _name(rule: str) -> str:
    return f"rule {rule}" if len(rule) == 1 else rule


def _rules(explanation: Explanation) -> list[str]:
    return [
        f"{'>' if check.decides else ' '} {check.rule}  {padded(check.sentence, 62)}  "
        f"{check.measured:<7} {check.value:.4f} {check.sign:>2} {check.limit:.4f}  "
        f"{'held' if check.held else 'no'}"
        for check in explanation.checks
    ]


def _scores(explanation: Explanation) -> list[str]:
    return [
        f"  {padded(name, 24)}  {chance:.4f}  {'#' * round(_BAR * chance)}"
        for name, chance in explanation.scores
    ]


def _signals(explanation: Explanation) -> list[str]:
    return [f"  {name:<15}  {value:9.4f}" for name, value in explanation.signals.items()]


def _turns(explanation: Explanation) -> list[str]:
    if not explanation.turns:
        return []
    head = f"  {'turn':>4}  {'share':>6}  {'best alone':<20} {'named':<14} {'after':<14} text"
    return [head] + [
        f"  {turn.turn:>4}  {turn.share:6.4f}  {padded(turn.best, 12)} {turn.best_chance:.4f}  "
        f"{padded(turn.alone or '-', 14)} {padded(turn.after or '-', 14)} {turn.text}"
        for turn in explanation.turns
    ]


def _read_as(explanation: Explanation) -> list[str]:
    pairs = [f"{typed} -> {read}" for typed, read in explanation.read_as.items()]
    return _wrapped("  ", ", ".join(pairs))


def _terms(terms: Terms | None) -> list[str]:
    if terms is None:
        return []
    found = terms.contrast
    title = (
        f"terms of turn {terms.turn}, {found.best} against {found.second}: "
        f"difference {found.difference:+.4f}, of it bias {found.bias:+.4f}"
    )
    rows = [
        f"  {padded(_term(left), 48)}{_term(right)}"
        for left, right in zip_longest(found.pros, found.cons)
    ]
    return [title, *_halves(terms), *rows]


def _halves(terms: Terms) -> Iterable[str]:
    if terms.halves is None:
        return []
    ngrams, sentence = terms.halves
    return [f"  {NGRAMS_ONLY}", f"  {terms.contrast.best}: {ngrams:.4f} and {sentence:.4f}"]


def _term(term: Term | None) -> str:
    return f"{term.contribution:+8.4f}  {term.kind:<5}  {term.text}" if term else ""


def _nearest(explanation: Explanation) -> list[str]:
    return [
        line
        for each in explanation.nearest
        for line in _wrapped(f"  {each.likeness:.4f}  {padded(each.label, 12)}  ", each.text)
    ]


def _changes(explanation: Explanation) -> list[str]:
    return [
        line
        for change in explanation.changes
        for line in _wrapped(
            "  ", f"{change.change} -> {change.domain or 'none'} ({change.reason})"
        )
    ]


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        text, COLUMNS, initial_indent=head, subsequent_indent=" " * max(len(head), 4)
    )
