"""``POST /tokenize`` and ``/detokenize``, vLLM's paths: answered by the base that a name means.

Each base has a tokenizer of its own, so nothing is routed by text: a name that leaves the
base open is refused where there are several.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from fleet.names import Auto, Explicit, Names
from fleet.schema import Fleet
from gateway.context import context_of
from gateway.disconnect import unless_gone
from gateway.exchange import INLINE_BYTES, PASSED_ON
from gateway.routes.generate import read_request
from gateway.routing import Route, find_target
from gateway.service import Gateway
from gateway.upstream import Upstream
from wire.errors import InvalidRequest, UpstreamFailed
from wire.tokenize import DetokenizeRequest, TokenizeRequest, parse_detokenize, parse_tokenize

router = APIRouter()


@router.post("/tokenize")
async def tokenize(request: Request) -> Response:
    return await _forward(request, parse_tokenize, "tokens")


@router.post("/detokenize")
async def detokenize(request: Request) -> Response:
    return await _forward(request, parse_detokenize, "prompt")


def plan_tokenizer(names: Names, fleet: Fleet, model: str | None) -> Route:
    """Whose tokenizer ``model`` means; None is the fully automatic name.

    Raises ModelNotFound for a name that nothing is served as, InvalidRequest for one that
    leaves several bases open.
    """
    target = Auto(None) if model is None else find_target(names, fleet, model, None)
    if isinstance(target, Explicit):
        return Route(target.base, target.adapter, "explicit")
    if target.base is None and len(fleet.bases) > 1:
        what = "no model is named" if model is None else f"'{model}' may go to any base"
        bases = ", ".join(names.public(base, None) for base in fleet.bases)
        raise InvalidRequest(
            f"{what}, and each base has its own tokenizer; name a base: {bases}", param="model"
        )
    return Route(target.base or fleet.fallback_base, None, "explicit")


async def _forward(
    request: Request,
    parse: Callable[[bytes], TokenizeRequest] | Callable[[bytes], DetokenizeRequest],
    holds: str,
) -> Response:
    gateway: Gateway = request.app.state.gateway
    parsed = await read_request(request, parse)
    route = plan_tokenizer(gateway.names, gateway.fleet, parsed.model)
    context = context_of(request)
    context.model = gateway.names.public(route.base, route.adapter)
    sent = parsed.model_copy(update={"model": gateway.asked(route).upstream_model})
    body = sent.model_dump_json(exclude_unset=True).encode()
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    headers["x-request-id"] = context.request_id
    upstream, path = gateway.upstreams[route.base], cast(str, request.scope["path"])
    raw = await unless_gone(request.receive, _answer(upstream, path, body, headers))
    # as it came: a list of a million ids is checked, but not written again
    if len(raw) <= INLINE_BYTES:
        _check(raw, holds)
    else:
        await asyncio.to_thread(_check, raw, holds)
    return Response(raw, media_type="application/json")


async def _answer(upstream: Upstream, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    return await upstream.read(await upstream.post(path, body, headers))


def _check(raw: bytes, holds: str) -> None:
    try:
        answer: Any = json.loads(raw)
    except ValueError:
        raise UpstreamFailed("the answer from upstream is not JSON") from None
    if not isinstance(answer, dict) or holds not in cast(dict[str, Any], answer):
        raise UpstreamFailed(f"the answer from upstream holds no {holds}")
