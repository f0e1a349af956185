"""What fit learns from: a fleet's domains, and what ships with ailiance around them.

A domain's exemplars are its ``examples:`` (a file or a list); without any, those that ship
under its name. Exemplars that ship for domains the fleet lacks are out of domain there, so
they are ``general``. The words of a description are learned as terms of the trade.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fleet.schema import Domain, Fleet
from router.decision import GENERAL
from router.errors import RouterError
from router.learning.exemplars import (
    Exemplar,
    of_texts,
    read_file,
    read_folder,
    read_terms,
    split_terms,
)

HERE = Path(__file__).parent.parent
SHIPPED, DEV, TERMS = HERE / "data", HERE / "dev", HERE / "terms.yaml"
FOLLOW_UPS = HERE / "follow_ups.yaml"
LEAST_EXAMPLES = 8


@dataclass(frozen=True)
class Material:
    """All texts of a fit. ``own`` are the domains whose exemplars did not ship with ailiance."""

    exemplars: list[Exemplar]
    terms: list[Exemplar]
    dev: list[Exemplar]
    follow_ups: list[Exemplar] = field(default_factory=list[Exemplar])
    own: tuple[str, ...] = ()


def of_fleet(fleet: Fleet) -> Material:
    """The material of a fleet's domains. Raises RouterError with file and mend."""
    if not fleet.domains:
        raise RouterError("domains", "the fleet file has none; add one with at least 8 examples")
    named = {name: _of_domain(fleet, name, domain) for name, domain in fleet.domains.items()}
    shipped = read_folder(SHIPPED)
    texts = {e.text: e.label for e in shipped}
    own = tuple(
        name for name, found in named.items() if any(texts.get(e.text) != name for e in found)
    )
    taken = {exemplar.text for found in named.values() for exemplar in found}
    rest = [_outside(e, named) for e in shipped if e.text not in taken]
    terms = [_outside(term, named) for term in read_terms(TERMS)]
    return Material(
        [e for found in named.values() for e in found] + rest,
        terms + [t for name in own for t in _described(name, fleet.domains[name])],
        [_outside(e, named) for e in read_folder(DEV)],
        read_file(FOLLOW_UPS, GENERAL),
        own,
    )


def _of_domain(fleet: Fleet, name: str, domain: Domain) -> list[Exemplar]:
    if name == GENERAL:
        raise RouterError("domains", f"'{GENERAL}' is the router's word for no domain; rename it")
    if isinstance(domain.examples, list):
        found = of_texts(domain.examples, name)
    else:
        path = SHIPPED / f"{name}.yaml"
        if domain.examples is not None:
            path = fleet.resolve(domain.examples)
        elif not path.is_file():
            raise RouterError(
                f"domains.{name}",
                f"no examples ship under this name; add 'examples:' with at least {LEAST_EXAMPLES}",
            )
        found = read_file(path, name)
    if len(found) < LEAST_EXAMPLES:
        where = domain.examples if isinstance(domain.examples, str) else f"domains.{name}"
        raise RouterError(
            where, f"{len(found)} examples; a domain needs at least {LEAST_EXAMPLES} to be told"
        )
    return found


def _outside(exemplar: Exemplar, named: dict[str, list[Exemplar]]) -> Exemplar:
    """As the fleet sees it: what it has no domain for is general."""
    label = exemplar.label if exemplar.label in named else GENERAL
    theme = exemplar.theme if label == exemplar.label else exemplar.label
    also = exemplar.also if exemplar.also in named or exemplar.also == GENERAL else ""
    return replace(exemplar, label=label, theme=theme, also=also)


def _described(name: str, domain: Domain) -> Sequence[Exemplar]:
    parts = split_terms(
        re.sub(r"[;:()/.]|\b(?:and|et|or|ou|of|de|the|les?|la|des)\b", ",", domain.description)
    )
    return [Exemplar(part, name, theme="glossary") for part in [name, *parts]]
