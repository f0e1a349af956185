"""Requests: each standard field is honoured or refused by its name, and nothing is dropped."""

import json

import pytest

from wire.errors import InvalidRequest, UnsupportedField
from wire.fields import UNSUPPORTED_CHAT, UNSUPPORTED_COMPLETION
from wire.parsing import MAX_DEPTH
from wire.requests import ChatRequest, CompletionRequest, parse_chat, parse_completion
from wire.structured import Constraint

USER = {"role": "user", "content": "hi"}


def chat(**fields) -> ChatRequest:
    return parse_chat(json.dumps({"model": "m", "messages": [USER]} | fields).encode())


def turns(*messages) -> ChatRequest:
    return chat(messages=list(messages))


def text(**fields) -> CompletionRequest:
    return parse_completion(json.dumps({"model": "m", "prompt": "p"} | fields).encode())


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def named(name):
    return {"type": "function", "function": {"name": name}}


def refusal(parse, **fields) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    return caught.value


HONOURED = {
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.05,
    "seed": -3,
    "frequency_penalty": -2,
    "presence_penalty": 0.5,
    "repetition_penalty": 1.1,
    "logit_bias": {"0": -100, "50256": 0.5},
    "stop_token_ids": [0, 2],
    "ignore_eos": True,
    "max_tokens": 5,
    "user": "u",
    "adapters": "electronics",
}


@pytest.mark.parametrize(("name", "value"), HONOURED.items())
@pytest.mark.parametrize("parse", [chat, text])
def test_an_honoured_field_keeps_its_value(parse, name, value):
    assert getattr(parse(**{name: value}), name) == value


@pytest.mark.parametrize("name", [*HONOURED, "stop", "stream", "stream_options"])
@pytest.mark.parametrize("parse", [chat, text])
def test_null_is_absent(parse, name):
    assert parse(**{name: None}) == parse()
    assert name not in parse(**{name: None}).model_fields_set


@pytest.mark.parametrize("name", UNSUPPORTED_CHAT)
def test_null_is_absent_for_unsupported_chat_fields(name):
    assert chat(**{name: None}) == chat()


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in UNSUPPORTED_CHAT.items() for v in values]
)
def test_a_neutral_value_of_an_unsupported_chat_field_passes(name, value):
    assert chat(**{name: value}) == chat()


@pytest.mark.parametrize(
    ("name", "value"), [(n, v) for n, values in UNSUPPORTED_COMPLETION.items() for v in values]
)
def test_a_neutral_value_of_an_unsupported_completion_field_passes(name, value):
    assert text(**{name: value}) == text()


@pytest.mark.parametrize("name", UNSUPPORTED_CHAT)
def test_an_unsupported_chat_field_is_refused_by_name(name):
    error = refusal(chat, **{name: {"asks": "for something"}})
    assert isinstance(error, UnsupportedField)
    assert (error.param, error.code) == (name, "unsupported_parameter")
    assert f"'{name}'" in error.message


@pytest.mark.parametrize("name", UNSUPPORTED_COMPLETION)
def test_an_unsupported_completion_field_is_refused_by_name(name):
    error = refusal(text, **{name: {"asks": "for something"}})
    assert isinstance(error, UnsupportedField)
    assert error.param == name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("modalities", ["audio"]),
        ("function_call", "auto"),
        ("verbosity", "low"),
        ("documents", [{}]),
    ],
)
def test_a_value_that_only_looks_neutral_is_refused(name, value):
    assert refusal(chat, **{name: value}).param == name


@pytest.mark.parametrize("parse", [chat, text])
@pytest.mark.parametrize("name", ["foo", "top-p", "", "0"])
def test_an_unknown_field_is_refused_by_name(parse, name):
    error = refusal(parse, **{name: 1})
    assert (error.param, error.code) == (name, "unknown_parameter")
    assert f"'{name}'" in error.message


CHAT_ONLY = {
    "logprobs": True,
    "n": 3,
    "parallel_tool_calls": False,
    "reasoning_effort": "low",
    "service_tier": "auto",
    "store": False,
    "metadata": {"k": "v"},
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "chat_template_kwargs": {"enable_thinking": False},
    "add_generation_prompt": False,
    "echo": True,
    "prompt_logprobs": 0,
    "max_completion_tokens": 4,
}


@pytest.mark.parametrize(("name", "value"), CHAT_ONLY.items())
def test_an_honoured_chat_field_keeps_its_value(name, value):
    assert getattr(chat(**{name: value}), name) == value


@pytest.mark.parametrize(("name", "value"), [("n", 2), ("logprobs", 0), ("echo", True)])
def test_an_honoured_completion_field_keeps_its_value(name, value):
    assert getattr(text(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"top_logprobs": 2}, "logprobs true"),
        ({"prompt_logprobs": 1, "stream": True}, "stream"),
        ({"continue_final_message": True}, "add_generation_prompt false"),
        ({"continue_final_message": True, "add_generation_prompt": True}, "add_generation_prompt"),
        ({"tool_choice": "required"}, "needs tools"),
        ({"tools": [TOOL, TOOL]}, "one name"),
        ({"tools": [TOOL], "tool_choice": named("g")}, "'g'"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "exclude each other"),
        ({"guided_regex": "a", "response_format": {"type": "json_object"}}, "exclude"),
        ({"guided_regex": "a", "ignore_eos": True}, "ignore_eos"),
        ({"guided_json": "{"}, "not valid JSON"),
        ({"structured_outputs": {}}, "exactly one"),
        ({"response_format": {"type": "json_schema"}}, "json_schema is needed"),
    ],
)
def test_fields_that_do_not_fit_together(fields, words):
    assert words in refusal(chat, **fields).message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": True}, "n"),
        ({"n": 129}, "n"),
        ({"logprobs": 0}, "logprobs"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"store": True}, "store"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name"),
        ({"tool_choice": "any", "tools": [TOOL]}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"reasoning_effort": "much"}, "reasoning_effort"),
    ],
)
def test_a_bad_value_of_a_chat_field_names_it(fields, param):
    assert refusal(chat, **fields).param == param


def test_constraints_say_what_they_came_from():
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    canonical = '{"type":"object","properties":{"b":{},"a":{}}}'
    assert chat(response_format=form).constraint() == Constraint(
        "json_schema", canonical, "response_format"
    )
    assert chat(guided_json=schema).constraint() == Constraint(
        "json_schema", canonical, "guided_json"
    )
    assert chat(structured_outputs={"choice": ["a", "b"]}).constraint() == Constraint(
        "choice", '["a","b"]', "structured_outputs"
    )
    assert text(guided_grammar="start: /a/").constraint() == Constraint(
        "grammar", "start: /a/", "guided_grammar"
    )
    assert chat(response_format={"type": "text"}).constraint() is None


def test_aliased_fields_are_written_under_the_names_they_came_by():
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "null"}}}
    body = chat(response_format=form, structured_outputs=None).model_dump_json(exclude_unset=True)
    assert json.loads(body)["response_format"] == form
    sent = chat(structured_outputs={"json": {}}).model_dump_json(exclude_unset=True)
    assert json.loads(sent)["structured_outputs"] == {"json": {}}


def test_what_openais_parse_adds_is_dropped():
    """Its answers are sent back as they are; content and arguments are there unparsed."""
    function = CALL["function"] | {"parsed_arguments": {}}
    turn = {"role": "assistant", "content": "{}", "parsed": {"a": 1}}
    message = turns(turn | {"tool_calls": [CALL | {"function": function}]}, USER).messages[0]
    assert message == turns(turn | {"tool_calls": [CALL]}, USER).messages[0]
    assert "parsed" not in message.model_dump_json()


def test_two_different_reasonings_are_refused():
    turn = {"role": "assistant", "content": "a", "reasoning": "b", "reasoning_content": "c"}
    assert "differ" in refusal(chat, messages=[turn]).message


def test_reasoning_has_two_names():
    turn = {"role": "assistant", "content": "a", "reasoning": "because"}
    assert turns(turn, USER).messages[0].reasoning_content == "because"


def test_chat_fields_are_no_completion_fields_and_the_other_way_round():
    assert refusal(text, messages=[USER]).param == "messages"
    assert refusal(text, max_completion_tokens=1).param == "max_completion_tokens"
    assert refusal(chat, prompt="p").param == "prompt"
    assert refusal(chat, best_of=2).param == "best_of"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"frequency_penalty": 2.01}, "frequency_penalty"),
        ({"frequency_penalty": False}, "frequency_penalty"),
        ({"presence_penalty": -2.01}, "presence_penalty"),
        ({"presence_penalty": "1"}, "presence_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_penalty": -1}, "repetition_penalty"),
        ({"repetition_penalty": 1e-300}, "repetition_penalty"),
        ({"repetition_penalty": 1e30}, "repetition_penalty"),
        ({"logit_bias": [5]}, "logit_bias"),
        ({"logit_bias": {"5": 100.5}}, "logit_bias"),
        ({"logit_bias": {"5": -101}}, "logit_bias"),
        ({"logit_bias": {"5": True}}, "logit_bias"),
        ({"logit_bias": {"5": None}}, "logit_bias"),
        ({"logit_bias": {"word": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"05": 1}}, "logit_bias"),
        ({"logit_bias": {"\u0665": 1}}, "logit_bias"),
        ({"logit_bias": {"9" * 5000: 1}}, "logit_bias"),
        ({"logit_bias": {str(token): 1 for token in range(1025)}}, "logit_bias"),
        ({"stop_token_ids": 5}, "stop_token_ids"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]"),
        ({"stop_token_ids": [5, "6"]}, "stop_token_ids[1]"),
        ({"stop_token_ids": list(range(1025))}, "stop_token_ids"),
        ({"ignore_eos": 1}, "ignore_eos"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"stop": ""}, "stop[0]"),
        ({"stop": ["a", ""]}, "stop[1]"),
        ({"stop": [1]}, "stop[0]"),
        ({"stop": list("abcdefghijklmnopq")}, "stop"),
        ({"model": ""}, "model"),
        ({"model": "m" * 257}, "model"),
        ({"model": None}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x"),
        ({"stream": "perhaps"}, "stream"),
    ],
)
def test_a_bad_value_names_its_field(fields, param):
    error = refusal(chat, **fields)
    assert error.param == param
    assert error.message.startswith(f"{param}: ") or f"'{param}'" in error.message


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "user", "content": 5}, "messages[1].content"),
        ({"role": "user"}, "messages[1]"),
        ({"role": "user", "content": None}, "messages[1]"),
        ({"role": "function", "content": "x"}, "messages[1].role"),
        ({"role": "tool", "content": "x"}, "messages[1]"),
        ({"role": "user", "content": "x", "tool_call_id": "c"}, "messages[1]"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "messages[1]"),
        ({"role": "user", "content": "x", "refusal": "no"}, "messages[1]"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[1].content[0]"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
            "messages[1].content[0].type",
        ),
        ({"role": "user", "content": ["x"]}, "messages[1].content[0]"),
    ],
)
def test_the_path_of_a_bad_message(message, param):
    with pytest.raises(InvalidRequest) as caught:
        turns(USER, message)
    assert caught.value.param == param


def test_text_and_parts_are_the_same_text():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    request = turns({"role": "user", "content": parts}, {"role": "user", "content": "ab"})
    assert [message.text() for message in request.messages] == ["ab", "ab"]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_every_role_that_has_text_is_taken(role):
    assert turns({"role": role, "content": "x"}).messages[0].role == role


def test_an_assistant_turn_may_have_no_content():
    assert turns(USER, {"role": "assistant", "content": None}).messages[1].text() == ""


def test_a_turn_sent_back_as_openai_python_dumps_it():
    """``message.model_dump()`` writes every field that it knows, most of them null."""
    from openai.types.chat import ChatCompletionMessage  # noqa: PLC0415

    message = ChatCompletionMessage(role="assistant", content="x").model_dump()
    assert None in message.values()
    assert turns(USER, message, USER).messages[1].text() == "x"


def test_stop_may_be_one_string_or_several():
    assert chat(stop="a").stop == ["a"]
    assert chat(stop=list("abcd")).stop == list("abcd")
    assert chat(stop=[]).stop == []


def test_as_many_token_ids_as_are_allowed():
    bias = {str(token): 1 for token in range(1024)}
    request = chat(logit_bias=bias, stop_token_ids=list(range(1024)))
    assert request.logit_bias == bias


def test_stream_options_need_stream():
    assert "stream" in refusal(chat, stream_options={"include_usage": True}).message
    options = chat(stream=True, stream_options={"include_usage": True}).stream_options
    assert options is not None
    assert options.include_usage
    options = chat(stream=True, stream_options={"include_usage": None}).stream_options
    assert options is not None
    assert not options.include_usage


def test_max_completion_tokens_wins():
    assert chat().limit_tokens is None
    assert chat(max_tokens=5).limit_tokens == 5
    assert chat(max_tokens=5, max_completion_tokens=3).limit_tokens == 3
    assert text(max_tokens=5).limit_tokens == 5


@pytest.mark.parametrize("prompt", ["p", ["p"], ["p", "q"], [1, 2, 3], [[1], [2, 3]]])
def test_a_prompt_is_text_or_token_ids(prompt):
    assert text(prompt=prompt).prompt == prompt


@pytest.mark.parametrize(
    "prompt", ["", [], ["a", 1], [""], [-1], [[]], [[1], "a"], [[-1]], 5, {}, None]
)
def test_any_other_prompt_is_refused(prompt):
    assert refusal(text, prompt=prompt).param == "prompt"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not valid JSON"),
        (b'{"model":', "line 1, column"),
        (b'{\n"model" "m"}', "line 2, column 9"),
        (b"\xff{}", "not UTF-8"),
        ('{"model":"m"}'.encode("utf-16"), "not UTF-8"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b'"x"', "JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 50_000, "nested too deeply"),
        (b"[" * 300 + b"]" * 300, "nested too deeply"),
        (b'{"seed":' + b"1" * 5_000 + b"}", "too many digits"),
        (b'{"temperature":NaN}', "NaN is no number"),
        (b'{"metadata":{"a":-Infinity}}', "-Infinity is no number"),
        (b'{"temperature":1e999}', "too large"),
    ],
)
@pytest.mark.parametrize("parse", [parse_chat, parse_completion])
def test_a_body_that_is_no_request(parse, raw, words):
    with pytest.raises(InvalidRequest) as caught:
        parse(raw)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ('{"a":' * 5_000 + "1" + "}" * 5_000, "nested too deeply"),
        ('{"enum":["\\ud800"]}', "half of a surrogate pair"),
        ('{"maximum":NaN}', "NaN is no number"),
        ("{", "not valid JSON"),
        ("[]", "a JSON schema is an object"),
    ],
)
def test_a_schema_written_as_text_is_read_as_strictly_as_the_body(schema, words):
    """Nested too deeply it was a 500."""
    error = refusal(chat, guided_json=schema)
    assert error.param == "guided_json"
    assert words in error.message


def test_what_is_nested_as_deeply_as_is_taken_is_walked_through():
    deep = []
    # the body, the variables and the innermost list are levels too
    for _ in range(MAX_DEPTH - 3):
        deep = [deep]
    assert chat(chat_template_kwargs={"a": deep}).chat_template_kwargs == {"a": deep}
    assert "256" in refusal(chat, chat_template_kwargs={"a": [deep]}).message


def raw_chat(content: bytes) -> bytes:
    return b'{"model":"m","messages":[{"role":"user","content":"' + content + b'"}]}'


@pytest.mark.parametrize(
    "content",
    [b"\\ud800", b"\\uD83D alone", b"\\ude00", b"\xed\xa0\x80", b"\xed\xa0\xbd\xed\xb8\x80"],
)
def test_half_a_surrogate_pair_is_refused_however_it_is_written(content):
    """As bytes it passed json.loads, and later nothing could write it: a 500."""
    with pytest.raises(InvalidRequest):
        parse_chat(raw_chat(content))


@pytest.mark.parametrize("content", [b"\\ud83d\\ude00", "😀".encode(), b"\\uD83D\\uDE00"])
def test_a_whole_pair_is_a_character(content):
    assert parse_chat(raw_chat(content)).messages[0].text() == "😀"


def test_a_byte_order_mark_is_skipped():
    assert parse_chat(b"\xef\xbb\xbf" + raw_chat(b"x")).messages[0].text() == "x"


def test_a_request_written_again_asks_for_the_same():
    """The gateway sends on what the client set, and no default of ours beside it."""
    request = chat(stop="a", top_p=None, messages=[{"role": "assistant", "content": None}, USER])
    raw = request.model_dump_json(exclude_unset=True).encode()
    assert parse_chat(raw) == request
    assert set(json.loads(raw)) == {"model", "messages", "stop"}


def test_neutral_values_and_whole_numbers_are_written_as_they_came():
    """Another server may read logit_bias as integers, as OpenAI's schema has it."""
    bias = {"5": -100, "6": 0.5}
    request = chat(logit_bias=bias, frequency_penalty=0, ignore_eos=False, stop_token_ids=[])
    raw = request.model_dump_json(exclude_unset=True)
    assert '"logit_bias":{"5":-100,"6":0.5}' in raw
    sent = json.loads(raw)
    assert (sent["frequency_penalty"], sent["ignore_eos"], sent["stop_token_ids"]) == (0, False, [])


def test_requests_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        chat().model = "other"  # type: ignore[misc]


PARTS = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_a_composition_is_read() -> None:
    request = parse_chat(
        json.dumps(PARTS | {"lora": [{"id": "a", "scale": -2.5}, {"id": "b"}]}).encode()
    )
    assert [(part.id, part.scale) for part in request.lora or []] == [("a", -2.5), ("b", 1.0)]


@pytest.mark.parametrize(
    ("lora", "param"),
    [
        ([], "lora"),
        ([{"id": "a"}, {"id": "a"}], "lora"),
        ([{"id": str(n)} for n in range(9)], "lora"),
        ([{"id": "a", "scale": 101}], "lora[0].scale"),
        ([{"id": "a", "scale": True}], "lora[0].scale"),
        ([{"id": 0}], "lora[0].id"),
        ([{"id": "a", "weight": 1}], "lora[0].weight"),
        ("a", "lora"),
    ],
)
def test_a_composition_is_refused_by_its_field(lora: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_chat(json.dumps(PARTS | {"lora": lora}).encode())
    assert caught.value.param == param
