"""The ASGI app: routes, layers and error handlers around one Gateway."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from gateway import __version__, envelope
from gateway.admin.access import Access
from gateway.admin.administration import Administration
from gateway.cards.shelf import Shelf
from gateway.middleware import BodyLimitLayer, RequestLayer
from gateway.routes import (
    adapters,
    cards,
    docs,
    embeddings,
    generate,
    models,
    responses,
    route,
    status,
    tokenize,
)
from gateway.service import Gateway


def create_app(
    gateway: Gateway, administration: Administration | None = None, access: Access | None = None
) -> FastAPI:
    """The app; its lifespan closes the gateway's connections. Workers are not its business.

    Without ``access`` nobody may administer adapters.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await gateway.aclose()

    # the request bodies are read by wire, not by FastAPI: a generated schema would be empty
    app = FastAPI(title="ailiance", version=__version__, lifespan=lifespan, openapi_url=None)
    app.state.gateway = gateway
    app.state.administration = administration or Administration(gateway)
    app.state.access = access or Access()
    app.state.cards = Shelf()
    envelope.install(app)
    # cards first: the path of a model takes slashes, and would take /card as well
    groups = (cards, docs, embeddings, generate, models, responses, route, status, tokenize)
    for group in (adapters, *groups):
        app.include_router(group.router)
    app.add_middleware(BodyLimitLayer, most_bytes=gateway.limits.body_bytes)
    app.add_middleware(RequestLayer)
    return app
