"""The ASGI app: routes, layers and error handlers around one Gateway."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from gateway import __version__, envelope
from gateway.middleware import BodyLimitLayer, RequestLayer
from gateway.routes import docs, embeddings, generate, models, responses, route, status, tokenize
from gateway.service import Gateway


def create_app(gateway: Gateway) -> FastAPI:
    """The app; its lifespan closes the gateway's connections. Workers are not its business."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await gateway.aclose()

    # the request bodies are read by wire, not by FastAPI: a generated schema would be empty
    app = FastAPI(title="ailiance", version=__version__, lifespan=lifespan, openapi_url=None)
    app.state.gateway = gateway
    envelope.install(app)
    for group in (docs, embeddings, generate, models, responses, route, status, tokenize):
        app.include_router(group.router)
    app.add_middleware(BodyLimitLayer, most_bytes=gateway.limits.body_bytes)
    app.add_middleware(RequestLayer)
    return app
