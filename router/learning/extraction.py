"""Text -> n-grams, each text once: a fit needs most of them twice."""

from collections.abc import Callable
from functools import cache

from router.reading import features
from router.reading.features import Grams

Extract = Callable[[str], Grams]


def remembering() -> Extract:
    """An extraction that remembers every text, for one fit."""

    @cache
    def extract(text: str) -> Grams:
        return features.extract(features.excerpt(text))

    return extract
