"""Who may administer adapters. Pure: headers in, an error or nothing out.

With a key: who sends it as ``Authorization: Bearer``. Without one: programs on this machine, where
the gateway listens on loopback; never a page in a browser, nor what a proxy passes on. Refuses to
log, show or compare a key in a time that depends on it.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from wire.errors import InvalidApiKey, PermissionDenied

MEND = "start the gateway with --admin-key-file FILE and send the key as 'Authorization: Bearer'"
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


@dataclass(frozen=True, slots=True)
class Access:
    """``on_loopback``: the gateway can't be reached from other machines."""

    key: str | None = field(default=None, repr=False)
    on_loopback: bool = False

    def check(self, headers: Mapping[str, str]) -> None:
        """Raises InvalidApiKey or PermissionDenied, with the mend."""
        if self.key is not None:
            if not _is_same(_bearer(headers), self.key):
                raise InvalidApiKey(
                    "the admin key is wrong or missing; send it as 'Authorization: Bearer KEY'"
                )
            return
        if not self.on_loopback:
            raise PermissionDenied(
                "without an admin key adapters are administered on loopback only, and this gateway "
                f"listens elsewhere; {MEND}"
            )
        if not _is_local(headers):
            raise PermissionDenied(
                "without an admin key adapters are administered by programs on this machine only, "
                f"neither through a proxy nor by a page in a browser; {MEND}"
            )


def is_loopback(host: str) -> bool:
    """True for an address, or ``localhost``, that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def _is_same(given: str, key: str) -> bool:
    # digests, as lengths would tell themselves
    one, other = (
        hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, key)
    )
    return hmac.compare_digest(one, other)


def _is_local(headers: Mapping[str, str]) -> bool:
    """By what browsers and proxies add; a name that is rebound to 127.0.0.1 is in ``host``.

    An image of a page is a GET without ``origin``.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    return (
        not any(name in headers for name in FORWARDED)
        and _is_local_url(f"//{headers.get('host', '')}")
        and (site != "cross-site" if origin is None else _is_local_url(origin))
    )


def _is_local_url(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
