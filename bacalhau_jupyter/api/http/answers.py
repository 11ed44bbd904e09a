"""Answers on the wire: JSON bodies and the error envelope."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
from aiohttp import web

from bacalhau_jupyter.api.http.binding import header
from bacalhau_jupyter.auth.guesses import TooManyGuesses
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, NotFound

JSON = "application/json"
REQUEST_ID = "X-Request-Id"
FAILURE = web.RequestKey("failure", BacalhauError)
"""The error that a request was answered with."""

# Request IDs are letters only.
_RANDOM = random.Random()
_LETTERS = str.maketrans("0123456789", "GHIJKLMNOP")

ROUTE_HINT = "The server version may be older than this CLI version and does not support the endpoint yet."
ROUTE_DETAILS = {
    "cli_usage": "If you are using the CLI, try updating your server to a newer version or check if the command "
    "is supported in your server version."
}


def answer(
    request: web.BaseRequest, value: object, *, status: int = 200, escape: bool = True
) -> web.Response:
    """Answer with ``value`` as JSON and a newline.

    ``<``, ``>`` and ``&`` are escaped as officially, except where URLs must stay readable (``escape=False``).
    """
    text = encode(value)
    if "pretty" in request.query:
        text = msgspec.json.format(text, indent=2)
    if escape:
        # Outside of strings JSON has none of these.
        for plain, escaped in ((b"<", b"\\u003c"), (b">", b"\\u003e"), (b"&", b"\\u0026")):
            if plain in text:
                text = text.replace(plain, escaped)
    return web.Response(body=text + b"\n", status=status, headers={"Content-Type": JSON})


def error_answer(request: web.BaseRequest, error: BacalhauError) -> web.Response:
    """Answer with the error envelope."""
    request[FAILURE] = error
    response = answer(request, error.envelope(header(request, "X-Request-ID")), status=error.status)
    if isinstance(error, TooManyGuesses):
        response.headers["Retry-After"] = str(error.wait_s)
    return response


def request_id() -> str:
    """Return a new ID for an answer."""
    return f"{_RANDOM.getrandbits(128):032x}".translate(_LETTERS)


def no_such_route() -> NotFound:
    """Describe a path or method that does not exist."""
    return NotFound(
        "The requested resource/URL was not found.",
        hint=ROUTE_HINT,
        details=ROUTE_DETAILS,
    )


def placed_elsewhere(orchestrators: Sequence[str]) -> NotFound:
    """Say whom to ask about jobs in place of a node that only runs them."""
    return NotFound(
        f"this node only runs jobs; the orchestrator at {', '.join(orchestrators)} places them",
        hint="Ask the API of that orchestrator: %bacalhau connect, --api-host, or BACALHAU_API_HOST.",
    )


def internal_error() -> BacalhauError:
    """Describe a fault of ours without telling anything about it."""
    return BacalhauError("Internal server error", component="Unknown")
