"""The HTTP edge: OpenAI API, routing, SSE relay, supervision of workers, metrics, provenance."""

__version__ = "0.1.0"
