"""Prometheus itself scrapes the running gateway, and each panel of the dashboard has data."""

import contextlib
import math
import shutil
import threading
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.docker import stack
from tests.docker.panels import ROOT, queries

READY_S = 60  # on loaded cores; alone it takes a few seconds
DATA_S = 60


@pytest.fixture(scope="module")
def urls(tmp_path_factory) -> Iterator[tuple[str, str]]:
    """``(gateway, prometheus)``, both up, with traffic until the end of the module."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed (Debian's package prometheus)")
    folder = tmp_path_factory.mktemp("stack")
    with stack.gateway(folder) as gateway, stack.prometheus(binary, folder, gateway) as prometheus:
        stack.wait_for("prometheus", lambda: stack.ready(f"{prometheus}/-/ready"), READY_S)
        stack.wait_for("the gateway", lambda: stack.ready(f"{gateway}/health"), READY_S)
        with traffic(gateway):
            yield gateway, prometheus


@contextlib.contextmanager
def traffic(gateway: str) -> Iterator[None]:
    """Requests of every kind, one after the other, in a thread."""
    stop, faults = threading.Event(), list[BaseException]()

    def send() -> None:
        try:
            with httpx.Client(base_url=gateway, timeout=30) as client:
                while not stop.is_set():
                    send_round(client)
        except BaseException as fault:
            faults.append(fault)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()
    assert not faults, faults


def send_round(client: httpx.Client) -> None:
    path = "/v1/chat/completions"
    for model, status in (
        ("ailiance", 200),
        ("ailiance-apertus", 200),
        ("ailiance-devstral-python", 200),
        ("no-such-model", 404),
    ):
        assert client.post(path, json=chat(model)).status_code == status
    for model in ("ailiance-apertus-emc", "ailiance-devstral"):
        with client.stream("POST", path, json=chat(model, stream=True)) as answer:
            assert answer.read().endswith(b"data: [DONE]\n\n")
    leave(client, path)


def leave(client: httpx.Client, path: str) -> None:
    """A stream left at its first chunk; it may have ended by then, as these are quick."""
    body = chat("ailiance-apertus", stream=True) | {"max_tokens": 200, "temperature": 2.0}
    with client.stream("POST", path, json=body) as answer:
        next(answer.iter_raw())


def chat(model: str, *, stream: bool = False) -> dict[str, object]:
    question = "How far from the pin may a decoupling capacitor stand?"
    messages = [{"role": "user", "content": question}]
    return {"model": model, "messages": messages, "max_tokens": 12, "stream": stream}


def test_each_panel_has_data(urls):
    _, prometheus = urls
    missing = queries()
    assert len(missing) > 20

    def answered() -> bool | None:
        for title, expression in list(missing.items()):
            values = [float(s["value"][1]) for s in stack.query(prometheus, expression)]
            if values and not any(math.isnan(value) for value in values):
                del missing[title]
        return None if missing else True

    try:
        stack.wait_for("panels", answered, DATA_S)
    except AssertionError:
        pytest.fail(f"no data, or NaN: {missing}")


def test_the_variable_lists_the_bases(urls):
    _, prometheus = urls
    path = f"{prometheus}/api/v1/label/model_name/values"

    def scraped() -> list[str] | None:
        found = httpx.get(path, params={"match[]": "vllm:num_requests_running"}, timeout=5).json()
        return found["data"] or None

    assert stack.wait_for("a scrape", scraped, DATA_S) == ["apertus", "devstral"]


def test_scrape_and_rules_are_healthy_and_nothing_fires(urls):
    _, prometheus = urls

    def evaluated() -> list[dict] | None:
        groups = httpx.get(f"{prometheus}/api/v1/rules", timeout=5).json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return None if any(rule["health"] == "unknown" for rule in rules) else rules

    rules = stack.wait_for("rules", evaluated, DATA_S)
    assert len(rules) == 6
    assert {rule["health"] for rule in rules} == {"ok"}
    # AilianceWorkerMissing may be pending from the start, for at most its two minutes
    assert not [rule["name"] for rule in rules if rule["state"] == "firing"]
    [target] = httpx.get(f"{prometheus}/api/v1/targets", timeout=5).json()["data"]["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")


def test_operations_page_names_exactly_the_metrics_served(urls):
    gateway, _ = urls
    families = text_string_to_metric_families(httpx.get(f"{gateway}/metrics", timeout=10).text)
    served = {f"{f.name}_total" if f.type == "counter" else f.name for f in families}
    assert stack.documented_metrics((ROOT / "docs/operations.md").read_text()) == served
