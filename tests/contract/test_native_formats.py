"""Models with tokens of their own for calls and thoughts, through the ``openai`` client.

The models of ``native/`` say scripts, each when its word stands in the question: what they say
comes through the real tokenizer, detokeniser and reader. What they are forced to say is held by
grammars, whatever they would like.
"""

import json
import subprocess
import sys
from dataclasses import replace

import jsonschema
import openai
import pytest
import yaml

from tests.contract.native.families import FAMILIES, SAID
from tests.contract.native.scripted import write_model
from tests.contract.openai_client import (
    ask,
    choices_of,
    client_of,
    finish_of,
    streamed,
    text_of_chunks,
)
from tests.contract.processes import READY_WAIT_S, GatewayProcess

ENUM = {"type": "string", "enum": ["V", "A", "Ω"]}


def tool(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    parameters["additionalProperties"] = False
    function = {"name": name, "description": f"Calls {name}.", "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = [tool("measure", unit=ENUM, average={"type": "boolean"}), tool("switch-off")]
TOOLS.append(tool("set_range"))
SCHEMAS = {t["function"]["name"]: t["function"]["parameters"] for t in TOOLS}
NAMED = {"type": "function", "function": {"name": "measure"}}
SCHEMA = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "unit": ENUM},
    "required": ["ok", "unit"],
    "additionalProperties": False,
}
FORM = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
ALL = [(name, word) for name, said in SAID.items() for word in said]


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """A gateway over one model of each family."""
    folder = tmp_path_factory.mktemp("native")
    for name, family in FAMILIES.items():
        write_model(family, folder / name)
    process = GatewayProcess(folder, fleet_of(folder, FAMILIES))
    try:
        yield process
        process.stop_checked()
    finally:
        process.end()


def fleet_of(folder, names):
    """A fleet file of the models in that folder."""
    bases = {name: {"model": str(folder / name), "slots": 1} for name in names}
    file = folder / "adapters.yaml"
    file.write_text(yaml.safe_dump({"version": 1, "bases": bases}), "utf-8")
    return file


@pytest.fixture(scope="module")
def client(native):
    with client_of(native.url) as client:
        yield client


def of(name, text="Please tell me.", **fields):
    """The fields of a request to that family's model."""
    return {
        "model": f"ailiance-{name}",
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 120,
        **fields,
    }


def told(calls):
    return tuple((call.function.name, call.function.arguments) for call in calls or ())


def told_by(chunks):
    """(name, arguments) of each streamed call; its id and name come first and once."""
    calls, ids = [], []
    for piece in [p for c in choices_of(chunks) for p in c.delta.tool_calls or []]:
        if piece.index == len(calls):
            calls.append((piece.function.name, piece.function.arguments or ""))
            ids.append(piece.id)
        else:
            assert piece.index == len(calls) - 1
            assert (piece.id, piece.function.name) == (None, None)
            calls[-1] = (calls[-1][0], calls[-1][1] + piece.function.arguments)
    assert all(ids)
    assert len(set(ids)) == len(ids)
    return tuple(calls)


def extra(message, name):
    return (message.model_extra or {}).get(name)


def reasoning_of(chunks):
    """The same under both names."""
    deltas = [c.delta for c in choices_of(chunks)]
    one, other = (
        "".join(extra(d, name) or "" for d in deltas) for name in ("reasoning_content", "reasoning")
    )
    assert one == other
    return one or None


@pytest.mark.parametrize(("name", "word"), ALL)
def test_what_the_model_says_is_read(client, name, word):
    said = SAID[name][word]
    fields = of(name, f"Please {word} now", tools=TOOLS)
    if word == "@go":
        fields["extra_body"] = {"chat_template_kwargs": {"open_thought": True}}
    (choice,) = ask(client, **fields).choices
    message = choice.message
    assert told(message.tool_calls) == said.calls
    assert message.content == said.content
    assert extra(message, "reasoning_content") == extra(message, "reasoning") == said.reasoning
    assert choice.finish_reason == ("tool_calls" if said.calls else "stop")
    chunks = streamed(client, **fields)
    assert told_by(chunks) == said.calls
    assert text_of_chunks(chunks) == (said.content or "")
    assert reasoning_of(chunks) == said.reasoning
    assert finish_of(chunks) == choice.finish_reason


@pytest.mark.parametrize("name", FAMILIES)
def test_without_tools_no_call_is_looked_for(client, name):
    """The marks of calls are then special tokens like others, which make no text."""
    (choice,) = ask(client, **of(name, "Please @one now")).choices
    assert choice.message.tool_calls is None
    assert "measure" in choice.message.content
    assert choice.finish_reason == "stop"


@pytest.mark.parametrize("name", ["apertus", "mistral", "hermes"])
def test_thoughts_are_told_apart_without_tools(client, name):
    fields = of(name, "Please @think now")
    message = ask(client, **fields).choices[0].message
    said = SAID[name]["@think"]
    assert (extra(message, "reasoning"), message.content) == (said.reasoning, said.content)
    chunks = streamed(client, **fields)
    assert (reasoning_of(chunks), text_of_chunks(chunks)) == (said.reasoning, said.content)


START = {
    "apertus": '<|tools_prefix|>[{"measure": {',
    "mistral": "[TOOL_CALLS]measure[ARGS]{",
    "hermes": '<tool_call>\n{"name": "measure", "arguments": {',
    "coder": '<tool_call>\n{"name": "measure", "arguments": {',
    "glm": '<tool_call>\n{"name": "measure", "arguments": {',
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_named_call_is_written_as_the_model_would(client, name):
    fields = of(name, tools=TOOLS, tool_choice=NAMED, logprobs=True)
    (choice,) = ask(client, **fields).choices
    ((called, arguments),) = told(choice.message.tool_calls)
    assert called == "measure"
    jsonschema.validate(json.loads(arguments), SCHEMAS["measure"])
    raw = "".join(token.token for token in choice.logprobs.content)
    assert raw.startswith(START[name])
    marks = {*FAMILIES[name].special, *FAMILIES[name].added}
    first = choice.logprobs.content[0].token
    assert first in marks  # one token, not spelled out
    assert choice.finish_reason in ("tool_calls", "stop")


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_required_calls(client, name, parallel):
    fields = of(name, tools=TOOLS, tool_choice="required", parallel_tool_calls=parallel)
    for seed in range(2):
        drawn = fields | {"temperature": 2.0 * seed, "seed": seed}
        (choice,) = ask(client, **drawn).choices
        calls = told(choice.message.tool_calls)
        assert len(calls) == 1 or (parallel and calls)
        for called, arguments in calls:
            jsonschema.validate(json.loads(arguments), SCHEMAS[called])
        assert choice.message.content is None
        chunks = streamed(client, **drawn)
        assert told_by(chunks) == calls
        assert text_of_chunks(chunks) == ""


@pytest.mark.parametrize("name", ["apertus", "mistral", "hermes"])
def test_two_calls_become_one_where_one_is_the_most(client, name):
    """Auto, but held: the model says its first call, and may not begin the second."""
    fields = of(name, "Please @two now", tools=TOOLS, parallel_tool_calls=False)
    (choice,) = ask(client, **fields).choices
    ((called, arguments),) = told(choice.message.tool_calls)
    assert called == "measure"
    jsonschema.validate(json.loads(arguments), SCHEMAS["measure"])
    # regression: any text, but no thought, could come before a call that is held
    (text,) = ask(client, **fields | of(name, "Please @think now")).choices
    assert text.message.content == SAID[name]["@think"].content
    assert extra(text.message, "reasoning") == SAID[name]["@think"].reasoning


@pytest.mark.parametrize("name", FAMILIES)
def test_a_constraint_holds_beside_marks(client, name):
    """Without thoughts the whole answer is held, whatever the model would begin with."""
    for tools in ({}, {"tools": TOOLS}):
        fields = of(name, response_format=FORM, **tools)
        (choice,) = ask(client, **fields).choices
        if choice.message.tool_calls:
            assert tools
            continue
        jsonschema.validate(json.loads(choice.message.content), SCHEMA)
        assert choice.finish_reason == "stop"


@pytest.mark.parametrize("forced", [False, True])
def test_what_follows_an_opened_thought_is_held(client, forced):
    said = SAID["hermes"]["@go"]
    fields = of("hermes", "Please @go on")
    fields["extra_body"] = {"chat_template_kwargs": {"open_thought": True}}
    fields |= {"tools": TOOLS, "tool_choice": NAMED} if forced else {"response_format": FORM}
    (choice,) = ask(client, **fields).choices
    assert extra(choice.message, "reasoning") == said.reasoning
    if forced:
        ((called, arguments),) = told(choice.message.tool_calls)
        jsonschema.validate(json.loads(arguments), SCHEMAS[called])
        assert choice.message.content is None
    else:
        jsonschema.validate(json.loads(choice.message.content), SCHEMA)
    chunks = streamed(client, **fields)
    assert reasoning_of(chunks) == said.reasoning
    assert text_of_chunks(chunks) == (choice.message.content or "")
    assert told_by(chunks) == told(choice.message.tool_calls)


ROUND_TRIP = {
    "apertus": '<|tools_prefix|>[{"measure": {"unit": "V", "average": true}}]'
    "<|tools_suffix|>[3.3 V]",
    "mistral": '[TOOL_CALLS]measure[ARGS]{"unit": "V", "average": true}</s>'
    "[TOOL_RESULTS]3.3 V[/TOOL_RESULTS]",
    "hermes": '<tool_call>\n{"name": "measure", "arguments": {"unit": "V", "average": true}}\n'
    "</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\n3.3 V",
    "coder": "<tool_call>\n<function=measure>\n<parameter=unit>\nV\n</parameter>\n"
    "<parameter=average>\nTrue\n</parameter>\n</function>\n</tool_call><|im_end|>",
    "glm": "<tool_call>measure<arg_key>unit</arg_key><arg_value>V</arg_value>"
    "<arg_key>average</arg_key><arg_value>True</arg_value></tool_call><|im_end|>",
}
# its template insists on ids of nine characters
FOLDED = {"mistral": "tool_ids"}


@pytest.mark.parametrize("name", FAMILIES)
def test_tool_turns_are_rendered_natively(native, client, name):
    fields = of(name, "Please @one now", tools=TOOLS)
    message = ask(client, **fields).choices[0].message
    turns = [*fields["messages"], message]
    (call,) = message.tool_calls
    turns.append({"role": "tool", "tool_call_id": call.id, "content": "3.3 V"})
    raw = client.chat.completions.with_raw_response.create(
        **fields | {"messages": turns, "max_tokens": 4}
    )
    assert raw.headers.get("x-ailiance-folded") == FOLDED.get(name)
    assert ROUND_TRIP[name] in prompt_text(client, name, turns, TOOLS)


def prompt_text(client, name, turns, tools):
    """The prompt as the model reads it, special tokens included."""
    messages = [t if isinstance(t, dict) else t.model_dump(exclude_none=True) for t in turns]
    body = {"model": f"ailiance-{name}", "messages": messages, "tools": tools}
    root = str(client.base_url).removesuffix("/v1/")
    tokens = client.post(f"{root}/tokenize", body=body, cast_to=object)["tokens"]
    body = {"model": f"ailiance-{name}", "tokens": tokens}
    return client.post(f"{root}/detokenize", body=body, cast_to=object)["prompt"]


def test_an_earlier_thought_is_shown_to_the_template(client):
    turns = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y", "reasoning_content": "zz"},
        {"role": "user", "content": "x"},
    ]
    shown = {
        "apertus": "<|inner_prefix|>zz<|inner_suffix|>y",
        "mistral": "[THINK]zz[/THINK]y",
        "hermes": "<think>\nzz\n</think>\n\ny",
    }
    for name, text in shown.items():
        assert text in prompt_text(client, name, turns, [])


@pytest.mark.parametrize(
    ("name", "effort", "changes"),
    [
        ("hermes", "none", True),  # a thought that is closed at once
        ("hermes", "low", False),
        ("apertus", "none", False),  # off anyway
        ("apertus", "low", True),
        ("coder", "none", False),
    ],
)
def test_reasoning_effort_reaches_the_template(client, name, effort, changes):
    fields = of(name, "Please @one now", max_tokens=1)
    alone = ask(client, **fields).usage.prompt_tokens
    switched = ask(client, reasoning_effort=effort, **fields).usage.prompt_tokens
    if name == "apertus":
        changed = text_with(client, effort) != text_with(client, None)
        assert changed is changes
    else:
        assert (switched > alone) is changes


def text_with(client, effort):
    """Counts do not tell on from off: the log-probabilities of the prompt do."""
    fields = of("apertus", "x", max_tokens=1, extra_body={"prompt_logprobs": 0})
    if effort is not None:
        fields["reasoning_effort"] = effort
    scored = ask(client, **fields).model_extra["prompt_logprobs"]
    return [token for entry in scored[1:] for token in entry]


def test_effort_is_refused_where_nothing_reasons(client):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, reasoning_effort="high", **of("coder"))
    assert caught.value.param == "reasoning_effort"


def test_the_marks_typed_by_a_client_are_no_marks(client):
    """A question that spells a mark is no call, and ends no turn."""
    for name, family in FAMILIES.items():
        mark = family.special[-1]
        turns = [{"role": "user", "content": f"What is {mark}?"}]
        marked = prompt_text(client, name, turns, [])
        assert f"What is {mark}?" in marked
        told_tokens = ask(client, **of(name, f"What is {mark}?", max_tokens=1)).usage.prompt_tokens
        other = ask(client, **of(name, "What is ?", max_tokens=1)).usage.prompt_tokens
        assert told_tokens > other + 1  # more than the one special token


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (None, "has no chat template"),
        ("{{ raise_exception('no users here') }}", "fails on a single user turn: no users here"),
    ],
)
def test_a_base_that_cannot_chat_is_not_served(tmp_path, template, reason):
    folder = write_model(replace(FAMILIES["coder"], template=template or ""), tmp_path / "odd")
    if template is None:
        (folder / "chat_template.jinja").unlink()
    command = [sys.executable, "-P", "-m", "gateway", "serve", "--port", "0"]
    command += ["--config", str(fleet_of(tmp_path, ["odd"])), "--state", str(tmp_path / "state")]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=READY_WAIT_S
    )
    assert ended.returncode == 78
    (line,) = [line for line in ended.stderr.splitlines() if line.startswith("ailiance:")]
    assert "'odd'" in line
    assert reason in line
    assert "Traceback" not in ended.stderr
