"""Log-probabilities through the ``openai`` Python client: they add up and fit the text."""

import math
import re

import openai
import pytest

from tests.contract.openai_client import MODEL, ask, choices_of, client_of, streamed

PROMPT = "The Ω of a résistance"
SPECIAL = re.compile(r"</?[a-z_|]+>")
SHORT = 12  # tokens
SLACK = 1e-3  # one prompt computed in another batch or from a cached prefix


@pytest.fixture
def client(url):
    with client_of(url) as client:
        yield client


def complete(client, prompt=PROMPT, **fields):
    fields = {"model": MODEL, "max_tokens": SHORT, "temperature": 0} | fields
    return client.completions.create(prompt=prompt, **fields)


def tokens_of(http, prompt, **fields):
    told = http.post("/tokenize", json={"model": MODEL, "prompt": prompt} | fields)
    return told.raise_for_status().json()["tokens"]


def check_entry(entry, most):
    """One token of a chat answer and its alternatives, the likeliest first."""
    assert entry.logprob <= 0
    assert bytes(entry.bytes).decode(errors="replace") == entry.token
    found = [top.logprob for top in entry.top_logprobs]
    assert len(found) == most
    assert found == sorted(found, reverse=True)
    assert sum(map(math.exp, found)) <= 1 + 1e-5


@pytest.mark.parametrize("model", [MODEL, "ailiance-devstral-python"])
def test_tokens_and_alternatives(client, model):
    fields = {"model": model, "logprobs": True, "top_logprobs": 5, "max_tokens": SHORT}
    answer = ask(client, **fields)
    choice = answer.choices[0]
    entries = choice.logprobs.content
    for entry in entries:
        check_entry(entry, 5)
        # greedy: the chosen token is the likeliest
        assert entry.top_logprobs[0].logprob == entry.logprob
    assert b"".join(bytes(e.bytes) for e in entries).decode() == choice.message.content
    assert answer.usage.completion_tokens - len(entries) in (0, 1)  # the end token shows no text


def test_a_drawn_token_tells_its_own(client):
    fields = {"logprobs": True, "top_logprobs": 2, "temperature": 2, "seed": 5}
    (choice,) = ask(client, max_tokens=SHORT, **fields).choices
    for entry in choice.logprobs.content:
        check_entry(entry, 2)
        assert entry.logprob <= entry.top_logprobs[0].logprob


def test_without_alternatives(client):
    (choice,) = ask(client, logprobs=True, max_tokens=SHORT).choices
    assert all(e.top_logprobs == [] for e in choice.logprobs.content)
    (choice,) = ask(client, max_tokens=SHORT).choices
    assert choice.logprobs is None


@pytest.mark.parametrize("n", [1, 2])
def test_streamed_are_the_plain_ones(client, n):
    fields = {"logprobs": True, "top_logprobs": 2, "max_tokens": SHORT, "n": n}
    plain = ask(client, **fields)
    chunks = streamed(client, **fields)
    for choice in plain.choices:
        parts = choices_of(chunks, choice.index)
        found = [e for part in parts if part.logprobs for e in part.logprobs.content]
        wanted = choice.logprobs.content
        assert [e.token for e in found] == [e.token for e in wanted]
        assert [e.bytes for e in found] == [e.bytes for e in wanted]
        told = [e.logprob for e in wanted]
        assert [e.logprob for e in found] == pytest.approx(told, abs=SLACK)


def test_a_bias_shows(client, http):
    """Whichever distribution they are of, the token drawn is the one reported."""
    (token,) = tokens_of(http, "a", add_special_tokens=False)
    fields = {"logprobs": True, "max_tokens": 1, "logit_bias": {str(token): 100}}
    (entry,) = ask(client, **fields).choices[0].logprobs.content
    assert entry.token == "a"
    assert entry.logprob <= 0


def check_completion(choice, text, most):
    """OpenAI's older form: four lists of one length."""
    told = choice.logprobs
    count = len(told.tokens)
    assert len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset) == count
    for logprob, top in zip(told.token_logprobs, told.top_logprobs, strict=True):
        if logprob is None:
            assert top is None
            continue
        assert most <= len(top) <= most + 1  # the chosen token as well, where it is not among them
        assert max(top.values()) >= logprob
    assert told.text_offset == sorted(told.text_offset)
    for token, offset in zip(told.tokens, told.text_offset, strict=True):
        hidden = SPECIAL.fullmatch(token) or "\ufffd" in token  # the end; half of a letter
        assert hidden or text[offset:].startswith(token)
    return told


@pytest.mark.parametrize("most", [1, 3])
def test_of_a_completion(client, most):
    answer = complete(client, logprobs=most)
    (choice,) = answer.choices
    told = check_completion(choice, choice.text, most)
    assert len(told.tokens) == answer.usage.completion_tokens
    assert None not in told.token_logprobs
    # greedy; evaluation programs compare these two for equality
    likeliest = [max(top.values()) for top in told.top_logprobs]
    assert told.token_logprobs == likeliest


@pytest.mark.parametrize("max_tokens", [0, 1, SHORT])
@pytest.mark.parametrize("by_ids", [False, True])
def test_of_an_echoed_prompt(client, http, by_ids, max_tokens):
    ids = tokens_of(http, PROMPT, add_special_tokens=not by_ids)  # as the server adds them to text
    prompt = ids if by_ids else PROMPT
    answer = complete(client, prompt, echo=True, logprobs=2, max_tokens=max_tokens)
    (choice,) = answer.choices
    assert choice.text.startswith(PROMPT)
    told = check_completion(choice, choice.text, 2)
    assert len(told.tokens) == len(ids) + answer.usage.completion_tokens
    first, *rest = told.token_logprobs
    assert first is None  # nothing stands before it
    assert all(logprob <= 0 for logprob in rest)


def test_the_end_token_is_listed(client, http):
    """lm-evaluation-harness drops the last entry as the one token it asked for; always one."""
    ids = tokens_of(http, PROMPT, add_special_tokens=False)
    (end,) = tokens_of(http, "<|assistant_end|>", add_special_tokens=False)
    fields = {"echo": True, "logprobs": 1, "max_tokens": 1, "logit_bias": {str(end): 100}}
    (choice,) = complete(client, ids, **fields).choices
    assert (choice.text, choice.finish_reason) == (PROMPT, "stop")
    assert len(choice.logprobs.tokens) == len(ids) + 1


def test_a_prompt_is_scored_as_it_would_be_generated(client):
    """Greedy tokens, sent back as a prompt, have the log-probabilities they were drawn with."""
    (drawn,) = complete(client, echo=True, logprobs=1).choices
    again = complete(client, drawn.text, echo=True, logprobs=1, max_tokens=0)
    scored = again.choices[0].logprobs
    count = len(scored.tokens)
    assert scored.tokens == drawn.logprobs.tokens[:count]
    wanted = drawn.logprobs.token_logprobs[1:count]
    assert scored.token_logprobs[1:] == pytest.approx(wanted, abs=SLACK)


def test_each_of_a_batch_has_its_own(client):
    prompts = [PROMPT, "A", "The window function of an FFT"]
    fields = {"echo": True, "logprobs": 1, "max_tokens": 1}
    answer = complete(client, prompts, **fields)
    for choice, prompt in zip(answer.choices, prompts, strict=True):
        alone = complete(client, prompt, **fields).choices[0].logprobs
        assert choice.logprobs.tokens == alone.tokens
        rest = pytest.approx(alone.token_logprobs[1:], abs=SLACK)
        assert choice.logprobs.token_logprobs[1:] == rest


def test_streamed_completion(client):
    fields = {"echo": True, "logprobs": 2, "max_tokens": SHORT}
    (plain,) = complete(client, **fields).choices
    tokens, offsets = [], []
    with complete(client, **fields, stream=True) as stream:
        for chunk in stream:
            for told in (c.logprobs for c in chunk.choices if c.logprobs):
                tokens += told.tokens
                offsets += told.text_offset
    assert (tokens, offsets) == (plain.logprobs.tokens, plain.logprobs.text_offset)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": 2}, "logprobs"),
        ({"stream": True, "extra_body": {"prompt_logprobs": 1}}, "prompt_logprobs"),
    ],
)
def test_bad_requests_are_named(client, fields, name):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert name in (caught.value.param or caught.value.message)
