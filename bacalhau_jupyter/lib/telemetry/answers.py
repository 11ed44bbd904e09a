"""What is read of a receiver's answer: it says in a line that it has taken the data, and may not fill our memory."""

from __future__ import annotations

import io
import os
from typing import Any

import requests

LIMIT = 64 * 1024
_OWN_SESSION = "CREDENTIAL_PROVIDER"


class BoundedSession(requests.Session):
    """Reads `LIMIT` bytes of an answer at most, and follows no redirect: its headers are for the named receiver."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request; see `requests.Session.send`."""
        answer = super().send(request, **{**kwargs, "stream": True, "allow_redirects": False})
        read = answer.raw.read(LIMIT, decode_content=True)
        answer.close()
        short = requests.Response()
        short.status_code, short.reason = answer.status_code, answer.reason
        short.headers, short.url, short.request = answer.headers, answer.url, answer.request
        short.raw = io.BytesIO(read)
        return short


def session() -> BoundedSession | None:
    """Return what requests are sent with; None where the user named a session of their own."""
    chosen = any(name.startswith("OTEL_PYTHON_EXPORTER_OTLP") and _OWN_SESSION in name for name in os.environ)
    return None if chosen else BoundedSession()
