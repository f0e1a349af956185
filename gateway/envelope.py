"""Every error as OpenAI's envelope: ours, FastAPI's own, and bugs."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from gateway.context import context_of
from gateway.disconnect import ClientGone
from wire.errors import AilianceError, InvalidRequest, MethodNotAllowed, NotFound, http_status

METHODS = ("DELETE", "GET", "HEAD", "POST")
CLIENT_CLOSED_REQUEST = 499  # nginx's; never reaches a client, only the log


def install(app: FastAPI) -> None:
    """Register the handlers of an app."""
    app.add_exception_handler(AilianceError, _on_ours)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(ClientGone, _on_client_gone)


def error_response(error: AilianceError, extra: dict[str, str] | None = None) -> Response:
    return JSONResponse(
        error.envelope(), status_code=http_status(error), headers=(extra or {}) | error.headers()
    )


def _on_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, AilianceError)
    return error_response(error, context_of(request).headers)


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    method, path = request.method, request.url.path
    if error.status_code == 404:
        return error_response(NotFound(f"no such path: {method} {path}", code="not_found"))
    if error.status_code == 405:
        refusal = MethodNotAllowed(f"{path} does not take {method}")
        return error_response(refusal, {"allow": ", ".join(_methods_of(request))})
    if error.status_code < 500:
        return error_response(InvalidRequest(str(error.detail)))
    return error_response(AilianceError("internal error"))


def _methods_of(request: Request) -> list[str]:
    """Of all routes of a path: starlette names those of the first."""

    def takes(method: str) -> bool:
        asked = {**request.scope, "method": method}
        return any(route.matches(asked)[0] is Match.FULL for route in request.app.routes)

    return [method for method in METHODS if takes(method)]


def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:]) or None
    return error_response(InvalidRequest(str(first["msg"]), param=param))


def _on_client_gone(request: Request, error: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)
