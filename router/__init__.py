"""Text -> domain, confidence, reason. No HTTP, no mlx, no logging; it abstains when unsure."""

from collections.abc import Sequence
from pathlib import Path

from router import conversation, features, weights
from router.cache import RecentResults, key_of
from router.decision import GENERAL, Decision, Reason, Turn
from router.errors import RouterError
from router.head import Reading, Weights, read, softmax
from router.housekeeping import is_housekeeping
from router.policy import Signals, decide

__all__ = ["DEFAULT_WEIGHTS", "Decision", "Reason", "Router", "RouterError", "Turn"]

DEFAULT_WEIGHTS = Path(__file__).parent / "weights.npz"
CACHE_SIZE = 2048


class Router:
    """Reads a conversation and names its domain. Safe from several threads; never raises."""

    def __init__(self, trained: Weights) -> None:
        self._weights = trained
        self._recent: RecentResults[Reading] = RecentResults(CACHE_SIZE)
        self.domains = tuple(name for name in trained.labels if name != GENERAL)

    @classmethod
    def load(cls, path: Path = DEFAULT_WEIGHTS) -> "Router":
        """The router of a weights file. Raises RouterError with the mend."""
        return cls(weights.load(path))

    def classify(self, turns: Sequence[Turn | tuple[str, str]]) -> Decision:
        """Decide for a conversation, oldest turn first."""
        texts = conversation.plan_texts(turns)
        if not texts or is_housekeeping(_last_user_text(turns)):
            return self._decide(None)
        return self._decide(conversation.combine([self._read(text) for text in texts]))

    def _decide(self, reading: Reading | None) -> Decision:
        trained = self._weights
        if reading is None:
            scores = {name: float(name == GENERAL) for name in trained.labels}
            return decide(Signals(scores, 0.0, has_topic=False), trained.thresholds)
        chances = softmax(reading.logits, trained.temperature)
        scores = dict(zip(trained.labels, map(float, chances), strict=True))
        signals = Signals(scores, reading.known_share, has_topic=reading.known_share > 0)
        return decide(signals, trained.thresholds)

    def _read(self, text: str) -> Reading:
        key = key_of(text)
        reading = self._recent.get(key)
        if reading is None:
            reading = read(self._weights, features.extract(text))
            self._recent.put(key, reading)
        return reading


def _last_user_text(turns: Sequence[Turn | tuple[str, str]]) -> str:
    return next((text for role, text in reversed(turns) if role == "user"), "")
