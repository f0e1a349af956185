"""Text -> domain, confidence, reason. No HTTP, no mlx, no logging; it abstains when unsure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from router.decision import GENERAL, Decision, Reason, Topic, Turn
from router.errors import RouterError
from router.policy import Signals, decide
from router.reading import features, weights
from router.reading.cache import RecentResults, key_of
from router.reading.head import Encodes, Reading, Weights, outlier_score, read, softmax
from router.reading.spelling import Spelling
from router.talk import turns as talk
from router.talk.housekeeping import is_housekeeping
from router.talk.track import Step, follow

__all__ = ["DEFAULT_WEIGHTS", "Decision", "Reason", "Router", "RouterError", "Topic", "Turn"]

DEFAULT_WEIGHTS = Path(__file__).parent / "weights.npz"
CACHE_SIZE = 2048


@dataclass(frozen=True)
class Trace:
    """How a decision came about: for explanations. Texts and readings are newest first."""

    decision: Decision
    rule: str  # a letter of talk/track.py, or "housekeeping" or "no text"
    texts: list[str]
    readings: list[Reading]
    steps: list[Step]  # oldest first


class Router:
    """Reads a conversation and names its domain. Safe from several threads; never raises."""

    def __init__(self, trained: Weights, digest: str = "", encoder: Encodes | None = None) -> None:
        self.weights = trained
        self.digest = digest
        """SHA-256 of the weights file, so that a decision can be traced to what made it."""
        self.domains = tuple(name for name in trained.labels if name != GENERAL)
        self._encoder = encoder
        self._spelling = Spelling(trained.words)
        self._recent: RecentResults[Reading] = RecentResults(CACHE_SIZE)

    @classmethod
    def load(cls, path: Path = DEFAULT_WEIGHTS, encoder: str | None = None) -> "Router":
        """The router of a weights file; ``encoder`` says where to find the one it was fitted
        with, if not where it was then. Raises RouterError with the mend.
        """
        trained, digest = weights.load(path)
        if trained.sentence is None:
            return cls(trained, digest)
        # onnxruntime is optional and slow to import: only weights that need it load it
        from router.reading.encoder import load_for  # noqa: PLC0415

        return cls(trained, digest, load_for(trained.sentence, encoder))

    @property
    def is_fast(self) -> bool:
        """Whether a short text takes around a millisecond: not so with a sentence encoder."""
        return self._encoder is None

    def classify(
        self, turns: Sequence[Turn | tuple[str, str]], earlier: Topic | None = None
    ) -> Decision:
        """Decide for a conversation, oldest turn first; ``earlier`` is its session's topic."""
        return self.trace(turns, earlier).decision

    def trace(self, turns: Sequence[Turn | tuple[str, str]], earlier: Topic | None = None) -> Trace:
        """The decision with all that led to it."""
        texts = talk.plan_texts(turns)
        errand = is_housekeeping(_last_user_text(turns))
        if not texts or errand:
            nothing = Decision(None, 0.0, "out_of_domain", self._nothing(), 1.0, earlier)
            return Trace(nothing, "housekeeping" if errand else "no text", [], [], [])
        readings = self._read(texts)
        steps = [self._step(readings[at:]) for at in reversed(range(len(readings)))]
        decision, rule = follow(steps, earlier)
        return Trace(decision, rule, texts, readings, steps)

    def read_as(self, text: str) -> str:
        """The text as it is read: mistyped words as the known ones they stand for."""
        return self._spelling.correct(text)

    def signals(self, reading: Reading) -> Signals:
        """What the policy sees of a reading."""
        chances = map(float, softmax(reading.logits))
        scores = dict(zip(self.weights.labels, chances, strict=True))
        outlier = outlier_score(self.weights.outlier, reading)
        return Signals(scores, outlier, has_topic=reading.known_share > 0)

    def _step(self, readings: Sequence[Reading]) -> Step:
        limits = self.weights.thresholds
        alone = decide(self.signals(readings[0]), limits)
        if len(readings) == 1:
            return Step(alone, alone, readings[0].follow_up)
        combined = decide(self.signals(talk.combine(readings)), limits)
        return Step(alone, combined, readings[0].follow_up)

    def _nothing(self) -> dict[str, float]:
        return {name: float(name == GENERAL) for name in self.weights.labels}

    def _read(self, texts: Sequence[str]) -> list[Reading]:
        keys = [key_of(text) for text in texts]
        found = [self._recent.get(key) for key in keys]
        fresh = [text for text, reading in zip(texts, found, strict=True) if reading is None]
        made = iter(self._read_fresh(fresh))
        readings = [next(made) if reading is None else reading for reading in found]
        for key, reading in zip(keys, readings, strict=True):
            self._recent.put(key, reading)
        return readings

    def _read_fresh(self, texts: list[str]) -> list[Reading]:
        grams = [features.extract(self.read_as(text)) for text in texts]
        if self._encoder is None or not texts:
            return [read(self.weights, each) for each in grams]
        embeddings = self._encoder.encode(texts)
        return [read(self.weights, g, e) for g, e in zip(grams, embeddings, strict=True)]


def _last_user_text(turns: Sequence[Turn | tuple[str, str]]) -> str:
    return next((text for role, text in reversed(turns) if role == "user"), "")
