"""The one error tree, and its OpenAI envelope.

    AilianceError                500 server_error
    +-- InvalidRequest           400 invalid_request_error
    |   +-- UnsupportedField     400 unsupported_parameter
    |   +-- ContextTooLong       400 context_length_exceeded
    +-- InvalidApiKey            401 invalid_api_key
    +-- PermissionDenied         403 permission_error
    +-- NotFound                 404
    |   +-- ModelNotFound        404 model_not_found
    +-- MethodNotAllowed         405
    +-- RequestTooLarge          413 request_too_large
    +-- RateLimited              429 rate_limit_exceeded      retry
    +-- Overloaded               503 server_is_overloaded     retry
    |   +-- WorkerUnavailable    503 worker_unavailable       retry
    +-- EngineFailed             500 engine_failed
    +-- UpstreamFailed           502 upstream_failed

Foreign errors are mapped where they enter; nothing else reaches a client.
"""

from typing import Any, ClassVar


class AilianceError(Exception):
    """Base of the tree: carries what the envelope and the response headers need."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = None
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code if code is not None else self.default_code
        self.retry_after_s = retry_after_s

    def envelope(self) -> dict[str, dict[str, Any]]:
        """``{"error": {message, type, param, code}}``, all four keys always."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def headers(self) -> dict[str, str]:
        """``Retry-After`` (whole seconds) and ``retry-after-ms`` where the wait is known."""
        if self.retry_after_s is None:
            return {}
        return {
            "retry-after": str(max(1, round(self.retry_after_s))),
            "retry-after-ms": str(max(1, round(self.retry_after_s * 1000))),
        }


class InvalidRequest(AilianceError):
    status = 400
    type = "invalid_request_error"


class UnsupportedField(InvalidRequest):
    default_code = "unsupported_parameter"


class ContextTooLong(InvalidRequest):
    default_code = "context_length_exceeded"


class InvalidApiKey(AilianceError):
    status = 401
    type = "invalid_request_error"
    default_code = "invalid_api_key"


class PermissionDenied(AilianceError):
    status = 403
    type = "permission_error"


class NotFound(AilianceError):
    status = 404
    type = "invalid_request_error"


class ModelNotFound(NotFound):
    default_code = "model_not_found"


class MethodNotAllowed(AilianceError):
    status = 405
    type = "invalid_request_error"


class RequestTooLarge(AilianceError):
    status = 413
    type = "invalid_request_error"
    default_code = "request_too_large"


class RateLimited(AilianceError):
    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"
    retryable = True


class Overloaded(AilianceError):
    status = 503
    type = "service_unavailable_error"
    default_code = "server_is_overloaded"
    retryable = True


class WorkerUnavailable(Overloaded):
    default_code = "worker_unavailable"


class EngineFailed(AilianceError):
    default_code = "engine_failed"


class UpstreamFailed(AilianceError):
    status = 502
    default_code = "upstream_failed"


class UpstreamError(AilianceError):
    """An OpenAI envelope that another server sent: passed on as it came."""

    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(str(error.get("message", "upstream error")))
        self.upstream_status = status
        self.error = error

    def envelope(self) -> dict[str, dict[str, Any]]:
        return {"error": {k: self.error.get(k) for k in ("message", "type", "param", "code")}}


def http_status(error: AilianceError) -> int:
    """The HTTP status of an error, also of one that came from upstream."""
    return error.upstream_status if isinstance(error, UpstreamError) else error.status
