"""What sessions were about, across requests: bounded in number and age. No clock of its own.

Keys are hashes of what the client calls its session; neither the name nor any text is kept.
One task owns it (the gateway's event loop); it takes no lock.
"""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import blake2b

from router.decision import Topic

MOST_SESSIONS = 10_000
MOST_AGE_S = 1800.0


@dataclass(frozen=True, slots=True)
class _Kept:
    topic: Topic
    at_s: float


class Sessions:
    """Topics by session, the least recently used forgotten first."""

    def __init__(self, most: int = MOST_SESSIONS, most_age_s: float = MOST_AGE_S) -> None:
        self._most = most
        self._most_age_s = most_age_s
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def topic(self, session: str, now_s: float) -> Topic | None:
        """What the session is about; None when unknown or too long ago."""
        kept = self._kept.get(_key(session))
        if kept is None or now_s - kept.at_s > self._most_age_s:
            return None
        return kept.topic

    def keep(self, session: str, topic: Topic | None, now_s: float) -> None:
        """Remember the topic that a request ended with; None forgets the session."""
        key = _key(session)
        self._kept.pop(key, None)
        if topic is not None:
            self._kept[key] = _Kept(topic, now_s)
        while self._kept and (len(self._kept) > self._most or self._oldest_is_old(now_s)):
            self._kept.popitem(last=False)

    def _oldest_is_old(self, now_s: float) -> bool:
        # keep() moves a session to the end, so the first is the oldest
        return now_s - next(iter(self._kept.values())).at_s > self._most_age_s


def _key(session: str) -> bytes:
    return blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).digest()
