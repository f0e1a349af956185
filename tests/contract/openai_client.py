"""What the tests that use the ``openai`` Python client share: a client, a question, its answer."""

from typing import Any

import openai

MODEL = "ailiance-apertus"
QUESTION: list[Any] = [{"role": "user", "content": "How do I choose a decoupling capacitor?"}]
ENOUGH = 256  # tokens; more than any constrained answer of these tests needs


def client_of(url, **options) -> openai.OpenAI:
    """Without retries and keys, unless asked for; to be closed."""
    options = {"api_key": "none", "max_retries": 0, "timeout": 120} | options
    return openai.OpenAI(base_url=f"{url}/v1", **options)


def ask(client, *, model=MODEL, messages=QUESTION, **fields):
    fields = {"max_tokens": ENOUGH, "temperature": 0} | fields
    return client.chat.completions.create(model=model, messages=messages, **fields)


def streamed(client, **fields):
    """All chunks of a streamed answer."""
    with ask(client, stream=True, **fields) as stream:
        return list(stream)


def choices_of(chunks, index=0):
    """That choice's part of each chunk which has one."""
    return [c for chunk in chunks for c in chunk.choices if c.index == index]


def text_of_chunks(chunks, index=0):
    return "".join(c.delta.content or "" for c in choices_of(chunks, index))


def finish_of(chunks, index=0):
    """The one finish reason of that choice; its last chunk carries it."""
    *early, last = [c.finish_reason for c in choices_of(chunks, index)]
    assert set(early) <= {None}
    return last
