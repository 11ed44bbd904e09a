"""Which headers cross the gateway: short lists of what may pass; everything else stays on its side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

TO_CLUSTER = ("Accept", "Content-Range", "Content-Type", "If-Range", "Range", "Traceparent", "X-Request-Id")
"""Never ``Cookie``, ``Authorization``, ``X-XSRFToken``, ``Origin`` or ``Referer``: those speak for the browser."""

FROM_CLUSTER = (
    "Accept-Ranges",
    "Content-Encoding",
    "Content-Range",
    "ETag",
    "Last-Modified",
    "Retry-After",
    "X-Bacalhau-Arch",
    "X-Bacalhau-Build-Date",
    "X-Bacalhau-Build-Os",
    "X-Bacalhau-Git-Commit",
    "X-Bacalhau-Git-Version",
    "X-Request-Id",
)
"""Never ``Set-Cookie``, ``Location``, anything of CORS, or what belongs to one connection."""

ISOLATED = "sandbox; default-src 'none'; frame-ancestors 'self'"
"""Content security policy of everything that comes from the cluster: shown in a page, it can do nothing."""

DATA_TYPES = ("application/json", "application/gzip", "application/octet-stream", "text/plain")
"""Content types that pass as they are; anything else comes as a download of unknown type."""

_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]")


def to_cluster(browser: Mapping[str, str], credential: Mapping[str, str]) -> dict[str, str]:
    """Return the headers to send to the cluster.

    Parameters
    ----------
    browser
        Headers of the request; names in any case.
    credential
        The gateway's own headers; they win.
    """
    passed = {name: browser[name] for name in TO_CLUSTER if name in browser}
    # Compressed bytes would be compressed or unpacked once more on the way.
    passed["Accept-Encoding"] = "identity"
    passed.update(credential)
    return passed


def from_cluster(cluster: Mapping[str, str], download: str = "") -> Iterator[tuple[str, str]]:
    """Yield the headers to send to the browser.

    Parameters
    ----------
    cluster
        Headers of the answer; names in any case.
    download
        Name of the file that the answer is; empty when it is not a file.
    """
    for name in FROM_CLUSTER:
        # An archive is what it is: a browser that unpacks it in flight saves something else.
        if name in cluster and not (download and name == "Content-Encoding"):
            yield name, cluster[name]
    content_type = cluster.get("Content-Type", "application/octet-stream")
    if content_type.partition(";")[0].strip().lower() not in DATA_TYPES:
        content_type, download = "application/octet-stream", download or "answer"
    yield "Content-Type", content_type
    yield "X-Content-Type-Options", "nosniff"
    yield "Content-Security-Policy", ISOLATED
    yield "Cache-Control", "private, no-store"
    if download:
        yield "Content-Disposition", f'attachment; filename="{_UNUSUAL.sub("_", download)}"'
