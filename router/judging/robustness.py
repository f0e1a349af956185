"""What typing errors cost, against the same prompts typed well. Same seed, same errors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.judging.quality import Classifies, measure
from router.learning.exemplars import Exemplar
from router.learning.typos import mistype


@dataclass(frozen=True)
class Typos:
    """Strict figures of the same prompts, clean and mistyped."""

    clean_accuracy: float
    clean_macro_f1: float
    accuracy: float
    macro_f1: float

    @property
    def cost(self) -> float:
        """What is lost of accuracy or of macro-F1, whichever is more."""
        return max(self.clean_accuracy - self.accuracy, self.clean_macro_f1 - self.macro_f1)


def typos(router: Classifies, prompts: Sequence[Exemplar], seed: int) -> Typos:
    """Ask every prompt twice: as it is, and with a typo in every fourth word."""
    clean = measure(router, prompts)
    typed = measure(router, [replace(p, text=mistype(p.text, seed)) for p in prompts])
    return Typos(clean.accuracy, clean.macro_f1, typed.accuracy, typed.macro_f1)
