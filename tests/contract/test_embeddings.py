"""The ``openai`` client's embeddings against a real gateway and real workers."""

import math

import openai
import pytest

TEXTS = ["Ohm's law", "How do I choose a decoupling capacitor?", "é日本🙂"]
MODEL = "ailiance-apertus"


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def test_both_formats_are_the_same_vectors(client):
    default = client.embeddings.create(model=MODEL, input=TEXTS)  # the client asks for base64
    plain = client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float")
    assert [entry.embedding for entry in default.data] == [entry.embedding for entry in plain.data]
    assert [entry.index for entry in default.data] == [0, 1, 2]
    assert default.model == MODEL
    assert default.object == "list"
    for entry in default.data:
        assert entry.object == "embedding"
        assert math.sqrt(sum(x * x for x in entry.embedding)) == pytest.approx(1, abs=1e-6)
    assert default.usage == plain.usage
    assert default.usage.prompt_tokens == default.usage.total_tokens


def test_token_ids_are_the_tokens_of_tokenize(client, http):
    told = http.post("/tokenize", json={"model": MODEL, "prompt": TEXTS[1]}).json()
    by_text = client.embeddings.create(model=MODEL, input=TEXTS[1])
    by_ids = client.embeddings.create(model=MODEL, input=[told["tokens"]])
    assert by_ids.data[0].embedding == by_text.data[0].embedding
    assert by_text.usage.prompt_tokens == told["count"]


def test_the_vector_is_the_bases_while_adapters_generate(client):
    alone = client.embeddings.create(model=MODEL, input=TEXTS)
    question = [{"role": "user", "content": "How do I choose a decoupling capacitor?"}]
    wanted = {"messages": question, "max_tokens": 48, "temperature": 0}
    names = ("ailiance-apertus-electronics", "ailiance-apertus-dsp")
    before = [client.chat.completions.create(model=name, **wanted) for name in names]
    streams = [client.chat.completions.create(model=n, stream=True, **wanted) for n in names]
    heads = [next(stream) for stream in streams]
    beside = client.embeddings.create(model=MODEL, input=TEXTS)
    for told, one in zip(alone.data, beside.data, strict=True):
        assert one.embedding == pytest.approx(told.embedding, abs=1e-5)
    for answer, head, stream in zip(before, heads, streams, strict=True):
        chunks = [head, *stream]
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert text == answer.choices[0].message.content


@pytest.mark.parametrize(
    ("change", "param", "code", "told"),
    [
        ({"model": "ailiance-devstral"}, "model", None, "set bases.devstral.embeddings: true"),
        ({"model": "ailiance-apertus-dsp"}, "model", None, "name 'ailiance-apertus'"),
        ({"model": "ailiance"}, "model", None, "name a base: ailiance-apertus"),
        ({"dimensions": 8}, "dimensions", None, "192"),
        ({"input": ["a", "word " * 5000]}, "input[1]", "context_length_exceeded", "split"),
    ],
)
def test_refused(client, change, param, code, told):
    with pytest.raises(openai.BadRequestError, match=told) as caught:
        client.embeddings.create(**{"model": MODEL, "input": "a"} | change)
    assert (caught.value.param, caught.value.code) == (param, code)
