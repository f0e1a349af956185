"""The ``openai`` Python client against a real gateway and real workers."""

import asyncio
import re

import openai
import pytest

from fleet.digest import digest_files, fingerprint
from tests.contract.processes import EMBEDDED, HOME

MODELS = (
    "ailiance",
    "ailiance-apertus",
    "ailiance-apertus-electronics",
    "ailiance-devstral-python",
    "ailiance-apertus-auto",
)
QUESTION = [{"role": "user", "content": "How do I choose a decoupling capacitor?"}]
REASONS = {"explicit", "classified", "sticky", "low_confidence", "out_of_domain", "ambiguous"}
SHORT = 8  # tokens; long enough to see a stream


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def with_async(url, test):
    async def body():
        async with openai.AsyncOpenAI(
            base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120
        ) as client:
            return await test(client)

    return asyncio.run(body())


def ask(client, model="ailiance-apertus", messages=QUESTION, **fields):
    fields = {"max_tokens": SHORT, "temperature": 0} | fields
    return client.chat.completions.create(model=model, messages=messages, **fields)


def text_of(answer):
    return answer.choices[0].message.content


def check_usage(usage, most_tokens=SHORT):
    assert usage.prompt_tokens > 0
    assert 0 < usage.completion_tokens <= most_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.parametrize("model", MODELS)
def test_plain(client, model):
    answer = ask(client, model)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].message.role == "assistant"
    assert text_of(answer)
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.model.startswith("ailiance-")
    check_usage(answer.usage)


@pytest.mark.parametrize("model", MODELS)
def test_streamed_is_the_plain_answer_in_pieces(client, model):
    whole = ask(client, model)
    with ask(client, model, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    *parts, last = chunks
    assert "".join(c.choices[0].delta.content or "" for c in parts) == text_of(whole)
    assert parts[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in parts[:-1]] == [None] * (len(parts) - 1)
    assert parts[-1].choices[0].finish_reason == whole.choices[0].finish_reason
    assert {c.id for c in chunks} == {chunks[0].id}
    assert {c.model for c in chunks} == {whole.model}
    assert [c.usage for c in parts] == [None] * len(parts)
    assert last.choices == []
    check_usage(last.usage)
    assert last.usage.completion_tokens == whole.usage.completion_tokens


def test_stream_without_usage_has_none(client):
    with ask(client, stream=True) as stream:
        assert all(chunk.usage is None and chunk.choices for chunk in stream)


def test_async_mixed_batch_is_each_alone(client, url):
    """Every adapter at once gives what each gives alone (temperature 0)."""
    models = [m.id for m in client.models.list() if m.id.count("-") == 2]
    assert len(models) > len(EMBEDDED["adapters"])
    alone = {model: text_of(ask(client, model)) for model in models}

    async def together(client):
        answers = await asyncio.gather(*(ask(client, model) for model in models))
        return {model: text_of(a) for model, a in zip(models, answers, strict=True)}

    assert with_async(url, together) == alone


def test_async_streams(url):
    async def one(client, model):
        chunks = [chunk async for chunk in await ask(client, model, stream=True)]
        return chunks[-1].choices[0].finish_reason

    async def all_models(client):
        return await asyncio.gather(*(one(client, model) for model in MODELS))

    assert set(with_async(url, all_models)) <= {"stop", "length"}


def test_max_tokens_ends_with_length(client):
    answer = ask(client, max_tokens=2)
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 2)
    answer = ask(client, max_tokens=5, max_completion_tokens=3)
    assert answer.usage.completion_tokens == 3


def test_stop_string_is_cut_off(client):
    whole = text_of(ask(client, max_tokens=24))
    stop = re.search(r"[A-Za-z]{3}", whole[2:]).group()
    answer = ask(client, max_tokens=24, stop=[stop, "never said"])
    assert text_of(answer) == whole.partition(stop)[0]
    assert answer.choices[0].finish_reason == "stop"
    with ask(client, max_tokens=24, stop=stop, stream=True) as stream:
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
    assert "".join(pieces) == text_of(answer)


def test_temperature_0_is_deterministic(client):
    assert len({text_of(ask(client, max_tokens=16)) for _ in range(3)}) == 1


def test_seed_is_reproducible(client):
    def drawn(seed):
        return text_of(ask(client, seed=seed, temperature=2, max_tokens=16))

    assert drawn(7) == drawn(7)
    assert len({drawn(seed) for seed in range(4)}) > 1


def test_sampling_fields_are_taken(client):
    narrow = {"top_k": 1, "min_p": 0.1}
    answer = ask(client, temperature=2, top_p=0.9, seed=1, extra_body=narrow)
    assert text_of(answer) == text_of(ask(client))  # top_k 1 is greedy


def test_roles_and_content_forms(client):
    system = {"role": "system", "content": "Answer briefly."}
    developer = {"role": "developer", "content": "Answer briefly."}
    parts = [{"type": "text", "text": QUESTION[0]["content"][:9]}]
    parts.append({"type": "text", "text": QUESTION[0]["content"][9:]})
    plain = ask(client)
    assert text_of(ask(client, messages=[{"role": "user", "content": parts}])) == text_of(plain)
    by_system, by_developer = (ask(client, messages=[m, *QUESTION]) for m in (system, developer))
    assert text_of(by_system) == text_of(by_developer)
    assert by_system.usage.prompt_tokens > plain.usage.prompt_tokens


@pytest.mark.parametrize("model", ["ailiance-apertus", "ailiance-devstral"])
def test_conversations(client, model):
    twice = [*QUESTION, {"role": "user", "content": "For a 5 V rail."}]
    turns = [*QUESTION, {"role": "assistant", "content": "100 nF."}, *QUESTION]
    null = [*QUESTION, {"role": "assistant", "content": None}, *QUESTION]
    late = [*QUESTION, {"role": "system", "content": "Briefly."}, *QUESTION]
    for messages in (twice, turns, null, late):
        assert ask(client, model, messages).usage.completion_tokens > 0


def test_completions(client):
    fields = {"model": "ailiance-apertus-dsp", "prompt": "A window function", "temperature": 0}
    plain = client.completions.create(**fields, max_tokens=SHORT)
    assert plain.object == "text_completion"
    check_usage(plain.usage)
    with client.completions.create(**fields, max_tokens=SHORT, stream=True) as stream:
        assert "".join(c.choices[0].text for c in stream) == plain.choices[0].text
    by_ids = client.completions.create(**fields | {"prompt": [1, 5, 20]}, max_tokens=SHORT)
    assert by_ids.usage.prompt_tokens == 3


def test_models(client):
    listed = {model.id: model.model_extra for model in client.models.list()}
    for name in (*MODELS, *EMBEDDED["aliases"], "ailiance-devstral-auto"):
        assert name in listed
    for name, adapter in EMBEDDED["adapters"].items():
        entry = listed[f"ailiance-{adapter['base']}-{name}"]
        assert entry["parent"] == f"ailiance-{adapter['base']}"
        assert entry["max_model_len"] > 0
    assert listed["ailiance-apertus"]["parent"] is None
    one = client.models.retrieve("ailiance-apertus-emc")
    assert (one.id, one.object, one.owned_by) == ("ailiance-apertus-emc", "model", "ailiance")
    # one entry tells more than the list: licence, digest, evaluation
    assert listed["ailiance-apertus-emc"].items() <= one.model_extra.items()
    assert one.model_extra["license"] == "apache-2.0"


def test_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "ailiance-apertus-electronic")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "ailiance-apertus-electronics" in caught.value.message
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-5")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"temperature": 3}, "temperature", None),
        ({"max_tokens": -1}, "max_tokens", None),
        ({"messages": []}, "messages", None),
        ({"n": 0}, "n", None),
        ({"verbosity": "low"}, "verbosity", "unsupported_parameter"),
        ({"extra_body": {"tempo": 1}}, "tempo", "unknown_parameter"),
        ({"max_tokens": 10**6}, "messages", "context_length_exceeded"),
        ({"stream": True, "max_tokens": 10**6}, "messages", "context_length_exceeded"),
    ],
)
def test_bad_request(client, fields, param, code):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **fields)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.type == "invalid_request_error"


def test_too_large_a_body(client):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, messages=[{"role": "user", "content": "x" * (2 << 20)}])
    assert (caught.value.status_code, caught.value.code) == (413, "request_too_large")


@pytest.mark.parametrize("model", MODELS)
def test_headers_say_what_the_body_says(client, model):
    raw = client.chat.completions.with_raw_response.create(
        model=model,
        messages=QUESTION,
        max_tokens=2,
        extra_headers={"x-request-id": f"mine-{model}"},
    )
    answer, headers = raw.parse(), raw.headers
    assert headers["x-request-id"] == f"mine-{model}" == answer._request_id
    assert int(headers["openai-processing-ms"]) >= 0
    assert float(headers["x-ailiance-overhead-ms"]) > 0
    check_provenance(answer, headers)


@pytest.mark.parametrize("model", MODELS)
def test_stream_says_what_answered_in_its_first_chunk(client, model):
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=QUESTION, max_tokens=2, stream=True
    )
    with raw.parse() as stream:
        first, *rest = stream
    assert all("ailiance" not in chunk.model_extra for chunk in rest)
    assert {chunk.system_fingerprint for chunk in rest} == {first.system_fingerprint}
    check_provenance(first, raw.headers)


def check_provenance(answer, headers):
    told = answer.model_extra["ailiance"]
    assert told["model"] == answer.model == headers["x-ailiance-model"]
    for key in ("base", "adapter", "adapter_digest", "domain", "reason"):
        assert headers.get(f"x-ailiance-{key.replace('_', '-')}") == told[key]
    assert told["reason"] in REASONS
    if told["confidence"] is not None:
        shown = float(headers["x-ailiance-confidence"])
        assert shown == pytest.approx(told["confidence"], abs=1e-4)
    assert (told["base_digest"], told["adapter_digest"]) == digests(told["base"], told["adapter"])
    assert answer.system_fingerprint == fingerprint(told["base_digest"], told["adapter_digest"])


def digests(base, adapter):
    """Of the files themselves: identity is content."""
    model = HOME / EMBEDDED["bases"][base]["model"]
    weights = list(model.glob("model*.safetensors"))
    of_base = digest_files([model / "config.json", model / "tokenizer.json", *weights])
    if adapter is None:
        return of_base, None
    files = (HOME / EMBEDDED["adapters"][adapter]["source"]).iterdir()
    return of_base, digest_files(
        [f for f in files if f.name == "adapter_config.json" or f.suffix == ".safetensors"]
    )


def test_an_alias_is_what_it_points_to(client):
    answer = ask(client, "gpt-4o")
    assert answer.model_extra["ailiance"]["reason"] != "explicit"
    assert answer.model.startswith("ailiance-")


def test_a_repeated_prompt_is_cached_per_adapter(client):
    question = "Which ground plane split keeps the return current of net 4711 short?"
    messages = [{"role": "user", "content": question}]

    def usage(model):
        return ask(client, model, messages).usage

    first, again = (usage("ailiance-apertus-emc") for _ in range(2))
    assert again.prompt_tokens == first.prompt_tokens
    assert first.prompt_tokens_details.cached_tokens < first.prompt_tokens // 2
    assert again.prompt_tokens_details.cached_tokens == first.prompt_tokens - 1
    other = usage("ailiance-apertus-power")
    assert other.prompt_tokens_details.cached_tokens < other.prompt_tokens // 2
