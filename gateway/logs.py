"""Logging of the gateway process: one line a request, nothing of any prompt."""

import logging
import sys


def configure() -> None:
    """Lines to stderr; libraries that would log bodies or URLs are kept quiet."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gateway").setLevel(logging.INFO)
    # asked for shutdown, it reports each connection it cut as an error
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
