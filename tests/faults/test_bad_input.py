"""Bad input gets a clear error: in the envelope while serving, on one line at start."""

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
import yaml

from gateway.supervisor import worker_env
from tests.contract.processes import EMBEDDED, FLEET, HOME, WorkerProcess, read_metrics

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
USER = {"role": "user", "content": "hi"}


@pytest.fixture(scope="module")
def worker(tmp_path_factory, fleet):
    process = WorkerProcess(tmp_path_factory.mktemp("worker"), fleet, "apertus")
    yield process
    process.end()


@pytest.fixture(params=["gateway", "worker"])
def served(request, http):
    """A client and a model name of it: the worker is an OpenAI server of its own."""
    if request.param == "gateway":
        yield http, "ailiance-apertus"
    else:
        with request.getfixturevalue("worker").client() as client:
            yield client, "apertus"


def check_envelope(response, status, param=None, code=None):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert "Traceback" not in error["message"]
    assert (error["param"], error["code"]) == (param, code)
    return error["message"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{'model': 'x'}",
        b"\xff\xfe\x00",
        b'{"model": "x"} and more',
        b"\x00" * 64,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"model": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda raw: repr(raw[:16]),
)
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_body_that_is_no_json_object(served, path, raw):
    client, _ = served
    check_envelope(client.post(path, content=raw), 400)


def nested(depth):
    return json.loads("[" * depth + "]" * depth)


WRONG = [
    ({"messages": []}, "messages"),
    ({"messages": "hi"}, "messages"),
    ({"messages": {}}, "messages"),
    ({"messages": ["hi"]}, "messages[0]"),
    ({"messages": [{}]}, "messages[0].role"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
    ({"messages": [{"role": "user"}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0]"),
    ({"messages": [{"role": "user", "content": 5}]}, None),
    ({"messages": [{"role": "user", "content": nested(200)}]}, None),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, None),
    ({"messages": [USER | {"tool_calls": {}}]}, "messages[0].tool_calls"),
    ({"messages": [USER | {"tool_call_id": "c"}]}, "messages[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tool_choice": "required"}, None),
    ({"response_format": {"type": "json_schema"}}, "response_format"),
    ({"n": 0}, "n"),
    ({"top_logprobs": 3}, None),
    ({"model": 5}, "model"),
    ({"model": ""}, "model"),
    ({"model": ["x"]}, "model"),
    ({"model": None}, "model"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"max_completion_tokens": -5}, "max_completion_tokens"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": []}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"top_k": -2}, "top_k"),
    ({"min_p": 2}, "min_p"),
    ({"seed": 2**64}, "seed"),
    ({"seed": "x"}, "seed"),
    ({"stop": 5}, "stop"),
    ({"stop": [""]}, "stop[0]"),
    ({"stop": list("abcdefghijklmnopq")}, "stop"),
    ({"stream": "perhaps"}, "stream"),
    ({"stream_options": {"include_usage": True}}, None),
    ({"stream": True, "stream_options": 5}, "stream_options"),
    ({"user": {}}, "user"),
    ({"metadata": []}, "metadata"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG, ids=lambda value: str(value)[:50])
def test_wrong_field(served, fields, param):
    client, model = served
    response = client.post(CHAT, json={"model": model, "messages": [USER]} | fields)
    told, code = (response.json()["error"][key] for key in ("param", "code"))
    check_envelope(response, 400, told, code)
    assert code in (None, "unknown_parameter")
    if param is not None:
        assert told == param


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(served, number):
    client, model = served
    raw = f'{{"model": "{model}", "messages": [{json.dumps(USER)}], "temperature": {number}}}'
    check_envelope(client.post(CHAT, content=raw), 400)


@pytest.mark.parametrize("prompt", [5, "", [], [-1], [10**9], [0.5], ["a", 1], [[]], [[10**9]], {}])
def test_wrong_prompt(served, prompt):
    client, model = served
    response = client.post(COMPLETIONS, json={"model": model, "prompt": prompt})
    told = response.json()["error"]["param"]
    check_envelope(response, 400, told)
    assert told.startswith("prompt")


@pytest.mark.parametrize("model", ["nothing", "ailiance\x00", "../models", "x" * 256, "é:ø", "a:b"])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_unknown_model(served, path, model):
    client, _ = served
    asked = {"messages": [USER]} if path == CHAT else {"prompt": "hi"}
    response = client.post(path, json={"model": model, **asked})
    check_envelope(response, 404, "model", "model_not_found")
    assert client.get("/v1/models/no%2Fsuch%00model").status_code == 404


@pytest.mark.parametrize("text", ["\x00", "a\x00b\x00", "\x1b[31m", "\ufeff", "\U0001f600" * 9])
def test_strange_characters_are_text(served, text):
    client, model = served
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 2}
    answer = client.post(CHAT, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["usage"]["completion_tokens"] == 2


def test_half_a_surrogate_pair_is_no_text(served):
    client, model = served
    raw = rf'{{"model": "{model}", "messages": [{{"role": "user", "content": "a\ud800"}}]}}'
    assert "surrogate" in check_envelope(client.post(CHAT, content=raw), 400)


@pytest.mark.parametrize("words", [2_500, 100_000])
def test_prompt_longer_than_the_context(served, words):
    client, model = served
    messages = [{"role": "user", "content": "a capacitor " * (words // 2)}]
    for fields in ({}, {"stream": True}):
        response = client.post(CHAT, json={"model": model, "messages": messages} | fields)
        message = check_envelope(response, 400, "messages", "context_length_exceeded")
        assert "2048" in message


def test_prompt_longer_than_the_context_for_the_router(http):
    messages = [{"role": "user", "content": "un condensateur de découplage " * 20_000}]
    response = http.post(CHAT, json={"model": "ailiance", "messages": messages})
    check_envelope(response, 400, "messages", "context_length_exceeded")


def test_more_tokens_than_the_context(served):
    client, model = served
    body = {"model": model, "messages": [USER], "max_tokens": 5000}
    check_envelope(client.post(CHAT, json=body), 400, "messages", "context_length_exceeded")


@pytest.mark.parametrize("form", ["content-length", "chunked"])
def test_10_mb(http, form):
    content = b'{"model": "ailiance", "messages": "' + b"x" * (10 << 20) + b'"}'
    chunks = (content[at : at + 65536] for at in range(0, len(content), 65536))
    response = http.post(CHAT, content=chunks if form == "chunked" else content)
    check_envelope(response, 413, None, "request_too_large")


def test_still_serving(gateway, http):
    """After all of the above: both workers are the first ones, and idle."""
    metrics = read_metrics(http)
    assert http.get("/health").status_code == 200
    assert metrics.sum("vllm:num_requests_running") == 0
    assert "Traceback" not in gateway.log_text()


def serve(folder, config, *arguments):
    command = [sys.executable, "-P", "-m", "gateway", "serve", "--config", str(config)]
    return subprocess.run(
        [*command, "--port", "0", "--state", str(folder / "state"), *arguments],
        cwd=folder,
        env=worker_env(),
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def check_refused(done, code, *words):
    """Non-zero, the fault on the last line, no traceback; what else is there is the log."""
    *_, line = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert line.startswith("ailiance: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in line


def absolute(path):
    return str(HOME / path)


def write_fleet(folder, change):
    """The embedded fleet's own text, changed, in a folder from which its paths still lead."""
    text = FLEET.read_text("utf-8").replace(" demo/", f" {HOME}/demo/")
    changed = change(text.replace(" router/", f" {HOME}/router/"))
    file = folder / "adapters.yaml"
    file.write_text(changed, "utf-8")
    return file, changed


def replace(old, new):
    def change(text):
        assert old in text
        return text.replace(old, new, 1)

    return change


ELECTRONICS = f"  electronics: {{base: apertus, source: {HOME}/demo/adapters/electronics"


@pytest.mark.parametrize(
    ("change", "marked", "words"),
    [
        (replace("prefix:", "prefixx:"), "prefixx:", ["'prefixx'", "did you mean 'prefix'"]),
        (replace("slots: 16", "slotz: 16"), "slotz", ["bases.apertus.slotz", "'slots'"]),
        (replace("  embedded: {base", "  electronics: {base"), "embedded}", ["stands twice"]),
        (replace("adapters/emc", "adapters/emcc"), "emcc", ["no file or folder", "emcc"]),
        (replace("{base: devstral", "{base: devstrall"), "devstrall", ["unknown base"]),
        (replace("domain: emc", "domain: dsp"), "/dsp, domain: dsp", ["both serve domain 'dsp'"]),
        (replace("gpt-4o: ailiance", "gpt-4o: ailianse"), "ailianse", ["'ailianse'"]),
        (replace("version: 1", "version: 2"), "version: 2", ["version"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_broken_fleet_file(tmp_path, change, marked, words):
    file, text = write_fleet(tmp_path, change)
    done = serve(tmp_path, file)
    line = next(n for n, line in enumerate(text.splitlines(), 1) if marked in line)
    check_refused(done, 78, f"{file}:{line}: ", *words)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["", "version: 1", "- a\n- b", "a: [", "\x00", "a: &a [*a]"])
def test_fleet_file_of_another_kind(tmp_path, text):
    file = tmp_path / "adapters.yaml"
    file.write_text(text)
    done = serve(tmp_path, file)
    check_refused(done, 78, str(file))
    assert len(done.stderr.splitlines()) == 1


def test_fleet_file_that_is_not_there(tmp_path):
    check_refused(serve(tmp_path, tmp_path / "nowhere.yaml"), 78, "nowhere.yaml", "no such file")
    check_refused(serve(tmp_path, tmp_path), 78, str(tmp_path))


def test_port_in_use(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = serve(tmp_path, FLEET, "--port", port)
    check_refused(done, 2, f"127.0.0.1:{port}", "--port")


def one_adapter(folder, source):
    """A fleet of one base with one adapter, whose files the test has spoilt."""
    base = EMBEDDED["bases"]["apertus"] | {"model": absolute(EMBEDDED["bases"]["apertus"]["model"])}
    fleet = {
        "version": 1,
        "bases": {"apertus": base},
        "adapters": {"mine": {"base": "apertus", "source": str(source)}},
    }
    file = folder / "adapters.yaml"
    file.write_text(yaml.safe_dump(fleet))
    return file


def spoil(folder, change):
    """A copy of an MLX-format adapter with its tensors changed."""
    copy = Path(shutil.copytree(absolute(EMBEDDED["adapters"]["electronics"]["source"]), folder))
    file = copy / "adapters.safetensors"
    tensors = mx.load(str(file))
    mx.save_safetensors(str(file), {key: change(key, value) for key, value in tensors.items()})
    return copy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda key, t: mx.zeros((7, t.shape[1])) if "q_proj.lora_a" in key else t, ["q_proj"]),
        (lambda key, t: mx.zeros_like(t) if "lora_b" in key else t, ["no effect"]),
        (lambda _, t: t * float("nan"), ["NaN"]),
    ],
    ids=["shape", "no effect", "NaN"],
)
def test_adapter_with_wrong_tensors(tmp_path, change, words):
    done = serve(tmp_path, one_adapter(tmp_path, spoil(tmp_path / "mine", change)))
    check_refused(done, 78, "base 'apertus' can't start", "mine", *words)


def test_adapter_of_another_base(tmp_path):
    source = absolute(EMBEDDED["adapters"]["python"]["source"])
    check_refused(serve(tmp_path, one_adapter(tmp_path, source)), 78, "mine", "layers")


@pytest.mark.parametrize("name", ["adapters.safetensors", "adapter_config.json"])
def test_adapter_cut_short(tmp_path, name):
    source = absolute(EMBEDDED["adapters"]["electronics"]["source"])
    copy = Path(shutil.copytree(source, tmp_path / "mine"))
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: len(whole) // 2])
    done = serve(tmp_path, one_adapter(tmp_path, copy))
    check_refused(done, 78, "mine", name)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_base_cut_short(tmp_path, name):
    model = Path(shutil.copytree(absolute(EMBEDDED["bases"]["apertus"]["model"]), tmp_path / "m"))
    whole = (model / name).read_bytes()
    (model / name).write_bytes(whole[: len(whole) // 2])
    fleet = {"version": 1, "bases": {"apertus": {"model": str(model)}}}
    file = tmp_path / "adapters.yaml"
    file.write_text(yaml.safe_dump(fleet))
    check_refused(serve(tmp_path, file), 78, "base 'apertus' can't start", str(model))


def test_worker_says_the_same_alone(tmp_path):
    """``python -m worker`` with a broken file: the same line, the same exit code."""
    file, _ = write_fleet(tmp_path, replace("slots: 16", "slotz: 16"))
    command = [sys.executable, "-P", "-m", "worker", "--config", str(file), "--base", "apertus"]
    done = subprocess.run(
        command, env=worker_env(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78
    assert re.fullmatch(r"error: .*adapters.yaml:\d+: unknown key .*slotz.*\n", done.stderr)
