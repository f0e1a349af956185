"""Who may administer adapters, by key and by where a request comes from."""

import pytest

from gateway.admin.access import Access, is_loopback
from wire.errors import InvalidApiKey, PermissionDenied

KEY = "correct-horse-battery"
HERE = {"host": "127.0.0.1:9300"}


@pytest.mark.parametrize("given", [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer  {KEY} "])
def test_the_key_opens_it_anywhere(given):
    headers = {"authorization": given, "host": "example.org", "x-forwarded-for": "1.2.3.4"}
    Access(KEY).check(headers)


@pytest.mark.parametrize(
    "given", [None, "", KEY, f"Basic {KEY}", "Bearer", f"Bearer {KEY}x", "Bearer \udcff"]
)
def test_anything_else_is_refused_also_on_loopback(given):
    headers = HERE | ({} if given is None else {"authorization": given})
    with pytest.raises(InvalidApiKey) as raised:
        Access(KEY, on_loopback=True).check(headers)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1:9300", "localhost:9300", "[::1]:9300", "127.0.0.2"])
def test_without_a_key_programs_on_this_machine_may(host):
    Access(on_loopback=True).check({"host": host})
    Access(on_loopback=True).check({"host": host, "origin": "http://localhost:3000"})
    for site in ("none", "same-origin", "same-site"):
        Access(on_loopback=True).check({"host": host, "sec-fetch-site": site})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "example.org"},
        {"host": "rebound.example.org:9300"},
        HERE | {"origin": "https://example.org"},
        HERE | {"origin": "null"},
        HERE | {"origin": "http://["},
        # <img src="http://127.0.0.1:9300/v1/adapters?check=all">
        HERE | {"sec-fetch-site": "cross-site"},
        HERE | {"x-forwarded-for": "1.2.3.4"},
        HERE | {"forwarded": "for=1.2.3.4"},
    ],
)
def test_without_a_key_neither_pages_nor_proxies_may(headers):
    with pytest.raises(PermissionDenied, match="--admin-key-file"):
        Access(on_loopback=True).check(headers)


def test_without_a_key_it_is_off_elsewhere():
    with pytest.raises(PermissionDenied, match="listens elsewhere"):
        Access().check(HERE)


def test_the_key_is_not_shown():
    assert KEY not in repr(Access(KEY))


@pytest.mark.parametrize(
    ("host", "is_one"),
    [
        *[("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.8.8.8", True)],
        *[("0.0.0.0", False), ("::", False), ("192.168.1.2", False), ("example.org", False)],
    ],
)
def test_loopback(host, is_one):
    assert is_loopback(host) is is_one
