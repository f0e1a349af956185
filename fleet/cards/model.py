"""What an adapter's card says, field by field. A field is None where the card is silent.

The sections are those of the Commission's template for the public summary of training content
(Art. 53(1)(d) of Regulation (EU) 2024/1689, published 2025-07-24).
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Provider(_Part):
    """1.1. ``contact``: the addresses (web, mail) that stand in the provider's details."""

    name: str | None = None
    contact: tuple[str, ...] | None = None
    representative: str | None = None


class Identification(_Part):
    """1.2. ``placed_on``: the date as stated."""

    name: str | None = None
    version: str | None = None
    dependencies: str | None = None
    placed_on: str | None = None


class Content(_Part):
    """1.3. ``size``: the ticked bucket. ``records`` and ``tokens`` are totals as stated."""

    modalities: tuple[str, ...] | None = None
    size: str | None = None
    alternative_size: str | None = None
    records: int | None = None
    tokens: int | None = None
    types: str | None = None
    latest_acquisition: str | None = None
    languages: str | None = None
    other: str | None = None


class Dataset(_Part):
    """One source of data. ``records`` is None where the card gives no number."""

    name: str
    url: str | None = None
    license: str | None = None
    records: int | None = None
    notes: str | None = None


class Source(_Part):
    """One of the sections 2.1 to 2.6. ``used``: the answer Yes or No; None: neither or both.

    ``text`` is what the section says besides its tables.
    """

    used: bool | None = None
    datasets: tuple[Dataset, ...] = ()
    text: str | None = None


class Sources(_Part):
    """2. A section that the card lacks is None."""

    public: Annotated[Source | None, Field(description="2.1 Publicly available datasets.")] = None
    licensed: Annotated[
        Source | None, Field(description="2.2.1 Commercially licensed datasets.")
    ] = None
    private: Annotated[
        Source | None, Field(description="2.2.2 Private datasets of third parties.")
    ] = None
    crawled: Annotated[Source | None, Field(description="2.3 Crawled and scraped data.")] = None
    user: Annotated[Source | None, Field(description="2.4 User data.")] = None
    synthetic: Annotated[Source | None, Field(description="2.5 Synthetic data.")] = None
    other: Annotated[Source | None, Field(description="2.6 Other sources.")] = None


class Processing(_Part):
    """3, and what cards add to it. ``signatory``: of the Code of Practice."""

    signatory: bool | None = None
    rights_reservation: str | None = None
    illegal_content: str | None = None
    personal_data: str | None = None
    other: str | None = None


class Training(_Part):
    """How the factors were trained. Where a card states a value twice, its first statement."""

    rank: int | None = None
    alpha: float | None = None
    scale: float | None = None
    dropout: float | None = None
    layers: int | None = None
    targets: tuple[str, ...] | None = None
    steps: int | None = None
    learning_rate: float | None = None


class CardResult(_Part):
    """One benchmark. Several values: the benchmark's parts, in the card's order."""

    benchmark: str
    base: tuple[float, ...] | None = None
    adapter: tuple[float, ...] | None = None
    delta: float | None = None


class CardEvaluation(_Part):
    text: str | None = None
    results: tuple[CardResult, ...] = ()


class CardChange(_Part):
    date: str | None = None
    version: str | None = None
    change: str | None = None


class Claim(_Part):
    """A value that the card states, and the section where it does."""

    field: str
    value: str
    place: str


class Card(_Part):
    """The whole card."""

    license: str | None = None
    license_name: str | None = None
    base_model: str | None = None
    tags: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None
    library_name: str | None = None
    pipeline_tag: str | None = None
    provider: Provider = Provider()
    identification: Identification = Identification()
    content: Content = Content()
    sources: Sources = Sources()
    processing: Processing = Processing()
    training: Training = Training()
    risk_class: str | None = None
    evaluation: CardEvaluation | None = None
    limitations: str | None = None
    changelog: tuple[CardChange, ...] | None = None
    sections: Annotated[tuple[str, ...], Field(description="What of the template it has.")] = ()
    claims: Annotated[tuple[Claim, ...], Field(description="Statements of rank, version...")] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON values only."""
        return self.model_dump(mode="json")
