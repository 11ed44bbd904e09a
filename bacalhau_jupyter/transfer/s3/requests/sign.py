"""Signature version 4 of a GET, as short as it can be: an input may be ten thousand small files.

Only ``host`` and ``x-amz-…`` are signed, so that servers which rewrite ``Accept-Encoding`` on the way (GCS) accept the
signature. AWS describes the steps in "Create a signed AWS API request".
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from typing import Protocol

_ALGORITHM = "AWS4-HMAC-SHA256"
# Of nothing: a GET has no body.
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


class FrozenCredentials(Protocol):
    """What botocore's ``get_frozen_credentials`` returns."""

    access_key: str
    secret_key: str
    token: str | None


@functools.lru_cache(maxsize=16)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = b"AWS4" + secret.encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def signed_headers(
    credentials: FrozenCredentials, region: str, host: str, path: str, query: str, now_s: float
) -> dict[str, str]:
    """Return the headers of a signed GET, ``Host`` among them.

    Parameters
    ----------
    path
        Percent-encoded as it is sent.
    query
        Canonical: encoded, sorted by name, without ``?``.
    now_s
        Unix time.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_s))
    signed = {"host": host, "x-amz-content-sha256": _EMPTY_SHA256, "x-amz-date": stamp}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = ";".join(signed)
    lines = "".join(f"{name}:{value}\n" for name, value in signed.items())
    request = f"GET\n{path}\n{query}\n{lines}\n{names}\n{_EMPTY_SHA256}"
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = _signing_key(credentials.secret_key, stamp[:8], region)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    signed["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return signed
