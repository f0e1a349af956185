"""Cards over HTTP, facts of a model, the mark of generated content, and ``ailiance card check``."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.responses import JSONResponse
from starlette.routing import Route

from fleet.cards.read import MOST_BYTES
from fleet.names import Explicit
from gateway.cards.page import linked, page
from gateway.cards.shelf import Shelf, folder_of
from gateway.responses.store import Store
from tests.fleet.cards.texts import text_of
from tests.gateway.fake_worker import Fake
from tests.gateway.harness import FLEET, Setup, chat, make_fleet, run

ROOT = Path(__file__).resolve().parents[2]
CARD = text_of("whole")
PATH = "/v1/models/ailiance-apertus-electronics"


class Reporting(Fake):
    """A fake worker that tells its adapters' digests."""

    def app(self):
        made = super().app()
        made.router.routes.insert(0, Route("/v1/adapters", self.told_adapters))
        made.router.routes.insert(0, Route("/health", self.told_health))
        return made

    async def told_adapters(self, _):
        data = [{"name": "electronics", "digest": "e" * 64}, "noise", {"name": 7}]
        return JSONResponse({"object": "list", "data": data})

    async def told_health(self, _):
        return JSONResponse({"status": "ok", "base_digest": "a" * 64})


@pytest.fixture
def setup(tmp_path):
    made = Setup(tmp_path)
    made.workers["apertus"] = Reporting("apertus")
    made.fleet = make_fleet(folder=tmp_path)
    folder = tmp_path / "demo" / "e"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return made


def test_card_as_json(setup):
    async def test(client):
        answer = await client.get(f"{PATH}/card")
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert (body["object"], body["id"]) == ("model.card", "ailiance-apertus-electronics")
        assert body["sources"]["public"]["datasets"][0]["license"] == "CC-BY-4.0"
        assert body["identification"]["version"] == "1.2.0"
        for name in ("amp", "apertus:electronics"):
            again = (await client.get(f"/v1/models/{name}/card")).json()
            assert again == body | {"id": name}

    run(setup, test)


def test_card_as_written(setup):
    async def test(client):
        answer = await client.get(f"{PATH}/card?format=markdown")
        assert answer.headers["content-type"].startswith("text/markdown")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.text == CARD

    run(setup, test)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.others = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            (self.links if name == "href" else self.others).append((tag, name, value))


def read_page(text):
    tags = Tags()
    tags.feed(text)
    return tags


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("?format=html", "application/json", "text/html"),
        ("?format=json", "text/html", "application/json"),
        ("", "*/*", "application/json"),
        ("", "text/markdown", "text/markdown"),
        ("", "image/png, application/json;q=0.5", "application/json"),
    ],
)
def test_form_by_query_or_accept(setup, query, accept, kind):
    async def test(client):
        answer = await client.get(f"{PATH}/card{query}", headers={"accept": accept})
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["vary"] == "accept"

    run(setup, test)


def test_page_loads_nothing_and_runs_nothing(setup):
    async def test(client):
        answer = await client.get(f"{PATH}/card", headers={"accept": "text/html"})
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script" not in policy
        tags = read_page(answer.text)
        assert not {"script", "img", "link", "iframe", "form", "object"} & set(tags.tags)
        assert all(tag == "a" for tag, _, _ in tags.links)
        assert not [name for _, name, _ in tags.others if name.startswith(("on", "src", "style"))]
        assert "2026-03-14" in answer.text

    run(setup, test)


def test_hostile_card_is_text_on_the_page(setup):
    evil = '<script>alert(1)</script><img src=x onerror=alert(1)> [a](javascript:alert(1)) "><b>'
    folder = setup.folder / "demo" / "e"
    hostile = (
        CARD.replace("Bakery Lab", evil).replace("Only tea", evil).replace("Rye letters", evil)
    )
    (folder / "README.md").write_text(hostile, encoding="utf-8")

    async def test(client):
        answer = await client.get(f"{PATH}/card?format=html")
        tags = read_page(answer.text)
        assert not {"script", "img", "b"} & set(tags.tags)
        assert not [link for link in tags.links if "javascript" in (link[2] or "")]
        assert "&lt;script&gt;" in answer.text

    run(setup, test)


def test_links_are_addresses_only():
    html = str(linked('see https://a.example/x"onclick=1 and <b> javascript:x.'))
    assert html == (
        'see <a href="https://a.example/x" rel="noreferrer nofollow">https://a.example/x</a>'
        "&#34;onclick=1 and &lt;b&gt; javascript:x."
    )


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/models/nobody/card", 404, "model_not_found"),
        ("/v1/models/ailiance-apertus/card", 404, "card_not_found"),
        ("/v1/models/ailiance/card", 404, "card_not_found"),
        ("/v1/models/ailiance-devstral-python/card", 404, "card_not_found"),
        ("/v1/models/ailiance-big-law/card", 404, "card_not_found"),
        (f"{PATH}/card?format=pdf", 400, None),
    ],
)
def test_refusals(setup, path, status, code):
    async def test(client):
        answer = await client.get(path)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["code"] == code
        assert str(setup.folder) not in error["message"]

    run(setup, test)


def test_an_alias_may_end_in_card(setup):
    aliases = {"team/card": "ailiance-apertus-electronics"}
    setup.fleet = make_fleet(folder=setup.folder, aliases=aliases)

    async def test(client):
        assert (await client.get("/v1/models/team/card")).json()["object"] == "model"
        assert (await client.get("/v1/models/team/card/card")).json()["object"] == "model.card"

    run(setup, test)


def test_a_link_out_of_the_folder_is_no_card(setup):
    secret = setup.folder / "secret.md"
    secret.write_text("---\nlicense: mit\n---\nsecret")
    file = setup.folder / "demo" / "e" / "README.md"
    file.unlink()
    file.symlink_to(secret)

    async def test(client):
        assert (await client.get(f"{PATH}/card")).status_code == 404
        assert (await client.get(PATH)).json()["license"] is None

    run(setup, test)


def test_a_card_that_is_too_large_is_refused(setup):
    (setup.folder / "demo" / "e" / "README.md").write_bytes(b"x" * (MOST_BYTES + 1))

    async def test(client):
        answer = await client.get(f"{PATH}/card")
        assert answer.status_code == 404
        assert "too large" in answer.json()["error"]["message"]
        assert (await client.get(PATH)).status_code == 200

    run(setup, test)


def test_a_card_is_read_again_when_it_changed(tmp_path):
    fleet = make_fleet(folder=tmp_path)
    file = tmp_path / "demo" / "e" / "README.md"
    file.parent.mkdir(parents=True)
    file.write_text("---\nlicense: mit\n---\n")
    shelf, target = Shelf(), Explicit("apertus", "electronics")
    first = shelf.card_of(fleet, target)
    assert shelf.card_of(fleet, target) is first
    file.write_text("---\nlicense: isc\n---\n")
    os.utime(file, ns=(1, 1))
    assert shelf.card_of(fleet, target).card.license == "isc"
    file.unlink()
    assert shelf.card_of(fleet, target) is None


def test_facts_of_an_adapter(setup):
    async def test(client):
        body = (await client.get(PATH)).json()
        assert (body["parent"], body["root"]) == ("ailiance-apertus", "demo/e")
        assert (body["license"], body["risk_class"]) == ("cc-by-4.0", "Minimal risk")
        assert body["base_model"] == "demo/models/apertus"
        assert body["digest"] == "e" * 64
        assert body["revision"] is None
        (result,) = body["evaluation"]["card"]["results"]
        assert (result["benchmark"], result["delta"]) == ("BreadEval", 8.75)
        assert body["evaluation"]["fleet"] == []

    run(setup, test)


def test_facts_where_there_is_no_card_or_no_report(setup):
    async def test(client):
        power = (await client.get("/v1/models/ailiance-apertus-power")).json()
        assert power["digest"] is None  # the worker has not loaded it
        assert [power[k] for k in ("license", "evaluation", "risk_class")] == [None] * 3
        python = (await client.get("/v1/models/ailiance-devstral-python")).json()
        assert python["digest"] is None  # that worker tells none
        base = (await client.get("/v1/models/ailiance-apertus")).json()
        assert (base["digest"], base["base_model"]) == ("a" * 64, "demo/models/apertus")
        auto = (await client.get("/v1/models/ailiance")).json()
        assert (auto["digest"], auto["base_model"]) == (None, None)

    run(setup, test)


def test_pinned_revision_and_card_from_the_hub_s_cache(setup, tmp_path):
    adapters = FLEET["adapters"] | {
        "electronics": {"base": "apertus", "source": "org/lora@4f1e0a9", "domain": "electronics"}
    }
    setup.fleet = make_fleet(folder=tmp_path, adapters=adapters)

    async def test(client):
        assert (await client.get(PATH)).json()["revision"] == "4f1e0a9"
        assert (await client.get(f"{PATH}/card")).status_code == 404

    run(setup, test)
    assert folder_of(setup.fleet, "org/lora@4f1e0a9") is None


def test_generated_content_is_marked(setup, tmp_path):
    async def test(client):
        setup.gateway.store = Store(tmp_path / "state")
        for path, body in (
            ("/v1/chat/completions", chat()),
            ("/v1/completions", {"model": "ailiance-apertus", "prompt": "x"}),
            ("/v1/responses", {"model": "ailiance-big", "input": "x"}),
        ):
            plain = await client.post(path, json=body)
            assert plain.headers["x-ailiance-ai-generated"] == "true"
            assert plain.json()["ailiance"]["ai_generated"] is True
            streamed = await client.post(path, json=body | {"stream": True})
            assert streamed.headers["x-ailiance-ai-generated"] == "true"
            assert '"ai_generated":true' in streamed.text
        stored = await client.get(f"/v1/responses/{plain.json()['id']}")
        assert stored.headers["x-ailiance-ai-generated"] == "true"
        assert stored.json()["ailiance"]["ai_generated"] is True

    run(setup, test)


def test_what_no_model_generated_is_not_marked(setup):
    async def test(client):
        answers = [
            await client.get("/v1/models"),
            await client.post("/v1/route", json=chat("ailiance")),
            await client.post("/v1/chat/completions", json=chat("nobody")),
            await client.post("/v1/chat/completions", json=chat(content='{"status": 400}')),
        ]
        assert not [a for a in answers if "x-ailiance-ai-generated" in a.headers]

    run(setup, test)


def test_page_of_a_card_that_says_nothing():
    from fleet.cards import Card  # noqa: PLC0415

    assert "not stated" in page("x", Card())


def card_check(*arguments, cwd):
    command = [sys.executable, "-P", "-m", "gateway", "card", "check", *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def fleet_folder(tmp_path):
    for name in ("model", "good", "bad", "silent"):
        (tmp_path / name).mkdir()
    (tmp_path / "good" / "README.md").write_text(CARD)
    (tmp_path / "bad" / "README.md").write_text(text_of("faulty"))
    (tmp_path / "adapters.yaml").write_text(
        "version: 1\nbases:\n  tin: {model: model}\nadapters:\n"
        + "".join(f"  {n}: {{base: tin, source: {n}}}\n" for n in ("good", "bad", "silent"))
    )
    return tmp_path


def test_card_check_of_a_fleet(fleet_folder):
    done = card_check(cwd=fleet_folder)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert re.match(r"good +warning +front matter: the card's base is", lines[0])
    assert sum(line.startswith("bad ") for line in lines) > 15
    assert lines[-2].startswith("silent  error    -: no README.md beside its weights; ")
    assert re.fullmatch(r"2 cards: \d+ errors, \d+ warnings", lines[-1])


def test_card_check_as_json(fleet_folder):
    done = card_check("bad", "--json", cwd=fleet_folder)
    told = json.loads(done.stdout)
    (card,) = told["cards"]
    assert card["name"] == "bad"
    assert set(card["findings"][0]) == {"severity", "kind", "place", "message", "mend"}
    assert told["errors"] == sum(f["severity"] == "error" for f in card["findings"]) > 5


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["good"], 0, "1 card: 0 errors, 1 warning"),
        (["ailiance-tin-good"], 0, "1 card"),
        (["good/README.md"], 0, "1 card: 0 errors, 0 warnings"),
        (["./good"], 0, "1 card: 0 errors, 0 warnings"),
        (["./model"], 1, "no README.md in it"),
        (["goood"], 2, "did you mean 'good'?"),
        (["./nowhere"], 2, "no adapter of the fleet and no file"),
        (["--config", "no.yaml"], 78, "no such file"),
    ],
)
def test_card_check_codes(fleet_folder, arguments, code, word):
    done = card_check(*arguments, cwd=fleet_folder)
    assert done.returncode == code
    assert word in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_card_check_compares_with_the_tensors(fleet_folder):
    (fleet_folder / "good" / "adapters.safetensors").write_bytes(b"\xff" * 20)
    done = card_check("good", cwd=fleet_folder)
    assert done.returncode == 1
    assert "is no safetensors file" in done.stdout
