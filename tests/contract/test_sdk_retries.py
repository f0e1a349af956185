"""What the ``openai`` client does about a full server and a slow one, and what that leaves."""

import contextlib
import threading

import httpx
import openai
import pytest
import yaml

from tests.contract.openai_client import MODEL, QUESTION, ask, client_of
from tests.contract.processes import GatewayProcess, endless_fleet, read_metrics, wait_for

BASE = "apertus"
ENDLESS = 1500  # tokens; seconds of work that nobody waits for
ROWS, QUEUE = 1, 1
HOLDING = {"model": MODEL, "messages": QUESTION, "max_tokens": ENDLESS, "stream": True}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """One row and one place in the queue; answers last until their max_tokens."""
    folder = tmp_path_factory.mktemp("gateway")
    file = endless_fleet(folder, **{BASE: ROWS})
    fleet = yaml.safe_load(file.read_text("utf-8"))
    fleet["bases"][BASE]["max_queue"] = QUEUE
    file.write_text(yaml.safe_dump(fleet, sort_keys=False), "utf-8")
    process = GatewayProcess(folder, file)
    try:
        yield process
        process.stop_checked()
    finally:
        process.end()


def gauge(http, name):
    return read_metrics(http).sum(f"vllm:num_requests_{name}", model_name=BASE)


def is_idle(http):
    return gauge(http, "running") == gauge(http, "waiting") == 0


class Holders:
    """Streams that take every row and every place in the queue, until they are let go."""

    def __init__(self, url, http):
        self._clients = []
        for running in range(ROWS + QUEUE):
            client = httpx.Client(base_url=url, timeout=120)
            self._clients.append(client)
            request = client.build_request("POST", "/v1/chat/completions", json=HOLDING)
            if running < ROWS:
                client.send(request, stream=True)  # its first token has come
            else:
                threading.Thread(target=_wait_in_queue, args=(client, request)).start()
        wait_for(lambda: (gauge(http, "running"), gauge(http, "waiting")) == (ROWS, QUEUE))

    def let_go(self):
        while self._clients:
            self._clients.pop().close()


def _wait_in_queue(client, request):
    with contextlib.suppress(httpx.TransportError, RuntimeError):
        client.send(request, stream=True)


@pytest.fixture
def full(url, http):
    wait_for(lambda: is_idle(http))
    holders = Holders(url, http)
    yield holders
    holders.let_go()
    wait_for(lambda: is_idle(http))


class Seen:
    """The answers a client got, retries included; ``then`` runs after each."""

    def __init__(self, then=lambda: None):
        self.answers = []
        self._then = then

    def client(self, url, **options):
        hooks = {"response": [self._on_answer]}
        return client_of(url, http_client=httpx.Client(event_hooks=hooks), **options)

    def _on_answer(self, answer):
        self.answers.append(answer)
        self._then()

    def statuses(self):
        return [answer.status_code for answer in self.answers]


@pytest.mark.parametrize("stream", [False, True])
def test_a_full_server_is_asked_again(url, full, stream):
    """Refused once, waits as long as it was told, is answered then."""
    seen = Seen(full.let_go)
    with seen.client(url, max_retries=2) as client:
        answer = ask(client, max_tokens=2, stream=stream)
        assert list(answer) if stream else answer.choices
    *refusals, last = seen.answers
    assert seen.statuses() in ([503, 200], [503, 503, 200])
    for refusal in refusals:
        assert int(refusal.headers["retry-after"]) >= 1
        assert int(refusal.headers["retry-after-ms"]) >= 1
    retries = [a.request.headers["x-stainless-retry-count"] for a in seen.answers]
    assert retries == [str(number) for number in range(len(retries))]
    assert "x-ailiance-model" in last.headers


def test_a_server_that_stays_full_is_given_up(url, full):
    seen = Seen()
    with seen.client(url, max_retries=1) as client, pytest.raises(openai.APIStatusError) as caught:
        ask(client)
    assert isinstance(caught.value, openai.InternalServerError)
    assert (caught.value.status_code, caught.value.code) == (503, "server_is_overloaded")
    assert seen.statuses() == [503, 503]


def test_without_retries_it_is_asked_once(url, full):
    seen = Seen()
    with seen.client(url) as client, pytest.raises(openai.InternalServerError):
        ask(client)
    assert seen.statuses() == [503]


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_not_sent_again(url, stream):
    seen = Seen()
    with seen.client(url, max_retries=2) as client:
        with pytest.raises(openai.BadRequestError):
            ask(client, temperature=3, stream=stream)
        with pytest.raises(openai.NotFoundError):
            ask(client, model="gpt-5", stream=stream)
    assert seen.statuses() == [400, 404]


def test_a_timeout_frees_the_row(url, http):
    wait_for(lambda: is_idle(http))
    before = read_metrics(http).sum("ailiance_cancelled_total", base=BASE)
    with client_of(url, timeout=0.5) as client, pytest.raises(openai.APITimeoutError):
        ask(client, max_tokens=ENDLESS)
    wait_for(lambda: is_idle(http))
    metrics = read_metrics(http)
    assert metrics.sum("ailiance_cancelled_total", base=BASE) == before + 1
    assert metrics.sum("ailiance_adapter_tokens_total", kind="generated") < ENDLESS


def test_a_stream_closed_early_frees_the_row(url, http):
    wait_for(lambda: is_idle(http))
    before = read_metrics(http).sum("ailiance_cancelled_total", base=BASE)
    with client_of(url) as client, ask(client, max_tokens=ENDLESS, stream=True) as stream:
        next(iter(stream))
    wait_for(lambda: is_idle(http))
    assert read_metrics(http).sum("ailiance_cancelled_total", base=BASE) == before + 1
