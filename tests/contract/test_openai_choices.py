"""Several answers and several prompts through the ``openai`` Python client."""

import openai
import pytest

from tests.contract.openai_client import (
    MODEL,
    ask,
    client_of,
    finish_of,
    streamed,
    text_of_chunks,
)

PROMPTS = ["A window function", "The gate driver", "An", "The gate driver"]
SHORT = 12  # tokens


@pytest.fixture
def client(url):
    with client_of(url) as client:
        yield client


def complete(client, prompt, **fields):
    fields = {"model": MODEL, "max_tokens": SHORT, "temperature": 0} | fields
    return client.completions.create(prompt=prompt, **fields)


def texts(answer):
    assert [choice.index for choice in answer.choices] == list(range(len(answer.choices)))
    return [choice.text for choice in answer.choices]


def tokens_of(http, prompt, **fields):
    told = http.post("/tokenize", json={"model": MODEL, "prompt": prompt} | fields)
    return told.raise_for_status().json()["tokens"]


def test_n_is_so_many_choices(client):
    answer = ask(client, n=3, max_tokens=SHORT)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    alone = ask(client, max_tokens=SHORT)
    content = alone.choices[0].message.content
    assert {choice.message.content for choice in answer.choices} == {content}
    assert answer.usage.prompt_tokens == alone.usage.prompt_tokens  # counted once, as OpenAI does
    assert answer.usage.completion_tokens == 3 * alone.usage.completion_tokens


def test_n_with_a_seed_is_reproducible(client):
    def drawn(seed):
        answer = ask(client, n=3, max_tokens=SHORT, temperature=2, seed=seed)
        return [choice.message.content for choice in answer.choices]

    assert drawn(7) == drawn(7)
    assert len(set(drawn(7))) > 1  # not three times one choice


def test_streamed_choices_are_the_plain_ones(client):
    fields = {"n": 3, "max_tokens": SHORT, "temperature": 2, "seed": 11}
    plain = ask(client, **fields)
    chunks = streamed(client, **fields, stream_options={"include_usage": True})
    for choice in plain.choices:
        assert text_of_chunks(chunks, choice.index) == choice.message.content
        assert finish_of(chunks, choice.index) == choice.finish_reason
    assert [c.choices for c in chunks].count([]) == 1
    assert chunks[-1].usage.completion_tokens == plain.usage.completion_tokens
    # side by side, not one after the other
    order = [choice.index for chunk in chunks for choice in chunk.choices]
    assert order.index(2) < max(i for i, index in enumerate(order) if index == 0)


def test_each_prompt_has_its_choice(client):
    answer = complete(client, PROMPTS)
    alone = [complete(client, prompt) for prompt in PROMPTS]
    assert texts(answer) == [one.choices[0].text for one in alone]
    assert answer.usage.prompt_tokens == sum(one.usage.prompt_tokens for one in alone)
    assert answer.usage.completion_tokens == sum(one.usage.completion_tokens for one in alone)


def test_prompts_times_n(client):
    """The choices of one prompt stand together."""
    fields = {"temperature": 0, "n": 2}
    first, second = (complete(client, prompt).choices[0].text for prompt in PROMPTS[:2])
    assert texts(complete(client, PROMPTS[:2], **fields)) == [first, first, second, second]


def test_streamed_prompts_are_the_plain_ones(client):
    plain = texts(complete(client, PROMPTS, n=2))
    found = [""] * len(plain)
    with complete(client, PROMPTS, n=2, stream=True) as stream:
        for chunk in stream:
            for choice in chunk.choices:
                found[choice.index] += choice.text
    assert found == plain


def test_prompts_as_token_ids(client, http):
    ids = [tokens_of(http, prompt) for prompt in PROMPTS[:2]]
    by_text = texts(complete(client, PROMPTS[:2]))
    by_ids = complete(client, ids)
    assert texts(by_ids) == by_text
    assert by_ids.usage.prompt_tokens == sum(map(len, ids))
    assert texts(complete(client, ids[0])) == by_text[:1]


@pytest.mark.parametrize("stream", [False, True])
def test_echo_is_the_prompt_first(client, stream):
    alone = texts(complete(client, PROMPTS[:2]))
    wanted = [prompt + text for prompt, text in zip(PROMPTS[:2], alone, strict=True)]
    answer = complete(client, PROMPTS[:2], echo=True, stream=stream)
    if not stream:
        assert texts(answer) == wanted
        return
    found = ["", ""]
    with answer:
        for chunk in answer:
            for choice in chunk.choices:
                found[choice.index] += choice.text
    assert found == wanted


def test_echo_alone(client, http):
    answer = complete(client, PROMPTS[0], echo=True, max_tokens=0)
    assert texts(answer) == PROMPTS[:1]
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 0
    ids = tokens_of(http, PROMPTS[0], add_special_tokens=False)
    assert texts(complete(client, ids, echo=True, max_tokens=0)) == PROMPTS[:1]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"suffix": " end"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"n": 0}, "n"),
        ({"n": 10**6}, "n"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[1, 2], []]}, "prompt"),
        ({"prompt": ["a", 7]}, "prompt"),
        ({"prompt": [10**6]}, "prompt"),
        ({"logprobs": 21}, "logprobs"),
    ],
)
def test_bad_requests_are_named(client, fields, param):
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, **{"prompt": "A"} | fields)
    assert caught.value.param.split(".")[0] == param


def test_nothing_to_do_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="echo"):
        complete(client, "A", max_tokens=0)


@pytest.mark.parametrize("extra", [{"suffix": ""}, {"best_of": 1}, {"suffix": None, "n": 1}])
def test_neutral_fields_ask_for_nothing(client, extra):
    assert texts(complete(client, "A", **extra)) == texts(complete(client, "A"))
