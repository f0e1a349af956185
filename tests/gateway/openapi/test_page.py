"""The page: loads nothing, escapes everything, leads where it says."""

import base64
import copy
import hashlib
import html
import json
import re
import shlex

import pytest

from gateway.openapi.page import ORIGIN, POLICY, page
from gateway.openapi.reading import rows
from tests.gateway.harness import Setup, make_fleet, run
from tests.gateway.openapi.made import DOCUMENT, SCHEMAS, body_validator, operations

PAGE = page(DOCUMENT)
IDS = re.findall(r' id="([^"]+)"', PAGE)


@pytest.fixture
def setup(tmp_path):
    return Setup(tmp_path)


def test_nothing_is_loaded_and_nothing_runs():
    assert re.findall(r"(?:src|href|action)=\"(?!#)[^\"]*\"", PAGE) == ['href="/openapi.json"']
    assert not re.search(r"<(?:script|link|img|iframe|object|form|base)\b", PAGE)
    assert not re.search(r"\bon\w+=|style=|url\(|@import", PAGE)


def test_the_policy_lets_the_style_sheet_through():
    (style,) = re.findall(r"<style>(.*?)</style>", PAGE, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert POLICY.startswith("default-src 'none'")


def test_every_link_has_its_place():
    assert len(set(IDS)) == len(IDS)
    assert set(re.findall(r'href="#([^"]+)"', PAGE)) <= set(IDS)


@pytest.mark.parametrize(("method", "path", "said"), operations())
def test_every_operation_is_shown(method, path, said):
    assert said["operationId"] in IDS
    assert f'<span class="verb {method.upper()}">{method.upper()}</span>{path}</p>' in PAGE


def test_every_field_of_a_chat_is_shown():
    shown = PAGE[PAGE.index('id="createChatCompletion"') : PAGE.index('id="createCompletion"')]
    for field in SCHEMAS["ChatRequest"]["properties"]:
        assert f'<td class="name mono">{field}<' in shown


def test_text_is_escaped():
    hostile = copy.deepcopy(DOCUMENT)
    tag = "<script>alert(1)</script>\"'`<b>`"
    hostile["info"]["title"] = hostile["info"]["description"] = tag
    chat = hostile["paths"]["/v1/chat/completions"]["post"]
    chat["summary"] = chat["description"] = tag
    chat["requestBody"]["content"]["application/json"]["examples"] = {tag: {"value": {tag: tag}}}
    hostile["components"]["schemas"]["ChatRequest"]["properties"][tag] = {
        "type": "string",
        "default": tag,
        "pattern": tag,
        "description": tag,
    }
    shown = page(hostile)
    assert "<script" not in shown
    assert "<b>" not in shown


def test_curls_are_of_the_shell_and_their_bodies_valid():
    posted = 0
    for text in re.findall(r"<pre[^>]*>(curl.*?)</pre>", PAGE, re.DOTALL):
        words = shlex.split(html.unescape(text).replace("\\\n", " "))
        if "-d" in words:
            posted += 1
            path = words[1].removeprefix(ORIGIN)
            body_validator(path).validate(json.loads(words[words.index("-d") + 1]))
    assert posted == sum("requestBody" in said for _, _, said in operations())


def test_curls_use_the_method_they_stand_under():
    """Pasted, the one under DELETE read the response, and the one under cancel was a 405."""
    for method, path, said in operations():
        shown = PAGE[PAGE.index(f' id="{said["operationId"]}"') :]
        (text,) = re.findall(r"<pre[^>]*>(curl.*?)</pre>", shown, re.DOTALL)[:1]
        words = shlex.split(html.unescape(text).replace("\\\n", " "))
        flags = {"-I": "head", "-d": "post"}
        used = words[words.index("-X") + 1].lower() if "-X" in words else "get"
        used = next((flags[word] for word in words if word in flags), used)
        assert used == method, path
        assert not set("{}") & set("".join(w for w in words if w.startswith(ORIGIN)))


def test_types_and_limits_in_words():
    fields = {row.name: row for row in rows(SCHEMAS["ChatRequest"])}

    def words(name):
        return "".join(word.text for word in fields[name].type), *fields[name].limits

    assert words("temperature") == ("number", "0 to 2")
    assert words("top_p") == ("number", "above 0", "at most 1")
    assert words("stop") == (
        "text or list of text",
        "not empty",
        "at most 4 entries",
        "each not empty",
    )
    assert words("messages") == ("list of Message", "not empty")
    assert (
        words("tool_choice")[0] == '"none", "auto", "required" or NamedTool or AllowedToolsChoice'
    )
    assert words("seed")[1:] == ("below 2^63", "at least -2^63")
    assert fields["stream"].default == "false"
    assert fields["model"].required
    assert "audio" not in fields


def test_both_are_served(setup):
    async def test(client):
        told = await client.get("/openapi.json")
        assert told.headers["content-type"] == "application/json"
        assert told.json() == DOCUMENT
        shown = await client.get("/docs")
        assert shown.headers["content-type"] == "text/html; charset=utf-8"
        assert shown.headers["content-security-policy"] == POLICY
        assert shown.text == PAGE.replace(ORIGIN, setup.url)

    run(setup, test)


def test_both_are_of_the_fleet_that_is_served_now(setup):
    async def test(client):
        async def told():
            document = (await client.get("/openapi.json")).json()
            return document, (await client.get("/docs")).text

        before, page_before = await told()
        assert "fresh" not in json.dumps(before)
        setup.gateway.use_fleet(make_fleet(default_base="devstral", aliases={"fresh": "ailiance"}))
        after, page_after = await told()
        names = json.dumps(after)
        assert '"fresh"' in names
        assert "gpt-4o" not in names
        assert page_after == page(after).replace(ORIGIN, setup.url) != page_before
        setup.gateway.use_fleet(make_fleet())
        assert await told() == (before, page_before)

    run(setup, test)


@pytest.mark.parametrize("host", ["$(reboot)", "a`b`", "<b>", "a b", ""])
def test_a_host_that_is_none_is_not_shown(setup, host):
    async def test(client):
        shown = await client.get("/docs", headers={"host": host})
        assert shown.text == PAGE.replace(ORIGIN, "http://127.0.0.1:9300")

    run(setup, test)
