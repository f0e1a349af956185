"""The keys of the fleet file that evidence has: results of an adapter, the rule for all."""

import re
from datetime import date
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from fleet.evidence.rule import RESERVED, is_benchmark, parse_rule

_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether it is a SHA-256 as workers report it."""
    return _DIGEST.fullmatch(text) is not None


def _check_digest(text: str) -> str:
    if not is_digest(text):
        raise ValueError(
            "the adapter's whole SHA-256, 64 lower-case hexadecimal digits; GET /v1/adapters and "
            "'ailiance check' tell it"
        )
    return text


def _check_benchmark(name: str) -> str:
    if not is_benchmark(name):
        raise ValueError(
            f"'{name}' is no name of a benchmark; use a letter, then letters, digits, '_', '.', "
            f"'+', '-', ':', '/', and none of {', '.join(sorted(RESERVED))}"
        )
    return name


def _check_date(value: Any) -> Any:
    if not isinstance(value, str | date):
        raise ValueError("a date such as 2026-05-06")
    return value


def _check_rule(text: str) -> str:
    parse_rule(text)
    return text


def _check_list(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise ValueError("a list of results: [{benchmark: ..., base: ..., adapter: ...}]")
    return cast(Any, value)


ServeIf = Annotated[str, AfterValidator(_check_rule)]
Result = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Evaluation(BaseModel):
    """One benchmark, measured on an adapter and on its base alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    benchmark: Annotated[str, AfterValidator(_check_benchmark)]
    base: Result
    adapter: Result
    date: Annotated[date, BeforeValidator(_check_date)]
    source: Annotated[str, Field(min_length=1)]
    """Where that is written down: an address, or a file."""
    n: Annotated[int, Field(ge=1, strict=True)] | None = None
    """How many examples were measured."""
    higher_is_better: Annotated[bool, Field(strict=True)] = True
    digest: Annotated[str, AfterValidator(_check_digest)] | None = None
    """SHA-256 of the adapter's content that was measured; None: not known, any will do."""

    def is_of(self, served: str | None) -> bool | None:
        """Whether it was measured on the version ``served`` (its digest); None: not known."""
        return None if self.digest is None or served is None else self.digest == served


Evaluations = Annotated[tuple[Evaluation, ...], BeforeValidator(_check_list)]


class Evidence(BaseModel):
    """What all adapters must show, where they have no rule of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    serve_if: ServeIf | None = None
    max_age_days: Annotated[int, Field(ge=1, strict=True)] | None = None
    """Older results count as none; null: results of any age do."""
