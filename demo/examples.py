"""Make training sequences: a conversation, then the answer that the loss is taken on.

Draws are seeded and endless; nothing here knows a model.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

from demo.chat import ChatFormat
from demo.noise import Noise
from demo.records import Record

RESTATE = "You ask: {}"
SYSTEM_SHARE = 0.04
EARLIER_TURN_SHARE = 0.04
GENERAL_SHARE = 0.06
PLAIN_TEXT_SHARE = 0.12
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "Answer briefly.",
    "You are an expert engineer. Be concise.",
    "Be short and exact.",
)


@dataclass(frozen=True)
class Example:
    """Token ids, of which those from ``start`` on are to be predicted."""

    ids: list[int]
    start: int


class Encoder:
    """Turns conversations into examples with one base's tokenizer and chat format."""

    def __init__(self, tokenizer: Tokenizer, chat: ChatFormat) -> None:
        self._tokenizer = tokenizer
        self._chat = chat

    def chat(self, turns: list[tuple[str, str]], answer: str) -> Example:
        """An answer, with the token that ends it, after ``turns`` of (role, text)."""
        prompt = self._ids(self._chat.render(turns))
        return Example(prompt + self._ids(answer + self._chat.end), len(prompt))

    def plain(self, text: str) -> Example:
        """Text that answers nothing, with the token that ends a document."""
        return Example(self._ids("<s>" + text + "</s>"), 1)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids


class Turns:
    """Wraps a question in the surroundings of real requests, now and then."""

    def __init__(self, general: Sequence[Record], seed: int) -> None:
        self._general = general
        self._random = random.Random(seed)

    def around(self, question: str) -> list[tuple[str, str]]:
        """The question as last turn, sometimes after a system message or other turns."""
        turns = [("user", question)]
        if self._random.random() < EARLIER_TURN_SHARE:
            earlier = self._random.choice(self._general)
            turns = [("user", earlier.question), ("assistant", earlier.answer), *turns]
        if self._random.random() < SYSTEM_SHARE:
            turns = [("system", self._random.choice(SYSTEM_PROMPTS)), *turns]
        return turns


def base_examples(
    domains: Sequence[Sequence[Record]], general: Sequence[Record], encoder: Encoder, seed: int
) -> Iterator[Example]:
    """Restated questions, general talk, and answers as text without their questions."""
    records = [record for domain in domains for record in domain]
    noises = [Noise(domain, seed + i) for i, domain in enumerate(domains)]
    drawn_by = [noise for noise, domain in zip(noises, domains, strict=True) for _ in domain]
    talk = _talk(general, encoder, seed)
    turns = Turns(general, seed)
    rng = random.Random(seed)
    while True:
        for at in rng.sample(range(len(records)), len(records)):
            draw = rng.random()
            if draw < GENERAL_SHARE:
                yield talk()
            elif draw < GENERAL_SHARE + PLAIN_TEXT_SHARE:
                yield encoder.plain(rng.choice(records).answer)
            question = drawn_by[at].draw(records[at])
            yield encoder.chat(turns.around(question), RESTATE.format(records[at].question))


def adapter_examples(
    records: Sequence[Record], general: Sequence[Record], encoder: Encoder, seed: int
) -> Iterator[Example]:
    """Questions of one domain with their answers, and a little general talk."""
    noise = Noise(records, seed)
    talk = _talk(general, encoder, seed)
    turns = Turns(general, seed)
    rng = random.Random(seed)
    while True:
        for record in rng.sample(records, len(records)):
            if rng.random() < GENERAL_SHARE:
                yield talk()
            yield encoder.chat(turns.around(noise.draw(record)), record.answer)


def _talk(general: Sequence[Record], encoder: Encoder, seed: int) -> Callable[[], Example]:
    noise = Noise(general, seed)
    turns = Turns(general, seed)
    rng = random.Random(seed)

    def draw() -> Example:
        record = rng.choice(general)
        return encoder.chat(turns.around(noise.draw(record)), record.answer)

    return draw
