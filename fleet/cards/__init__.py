"""Adapter cards: read into fields, checked against themselves and against the tensors."""

from fleet.cards.errors import CardError
from fleet.cards.model import Card
from fleet.cards.parse import parse_card

__all__ = ["Card", "CardError", "parse_card"]
