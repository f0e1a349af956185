"""What the gateway's API is, as OpenAPI 3.1 and as a page. Describes; handles no request."""

from gateway.openapi.document import document
from gateway.openapi.operation import Served

__all__ = ["Served", "document"]
