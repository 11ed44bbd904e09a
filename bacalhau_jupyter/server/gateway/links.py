"""Download links in answers: what points at the cluster itself is led through the gateway.

A node signs the URL of an archive for the address under which it was asked, which for the gateway is a loopback
port that no browser reaches. Such a URL becomes a path under Jupyter's base URL (without a host: behind a proxy
only the browser knows it); the signature in its query stays valid. Links to other hosts are left alone.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.server.gateway import paths


def lead_through_gateway(body: bytes, cluster_url: str, prefix: str) -> bytes:
    """Return a ``/results`` answer whose links into the cluster start with ``prefix``.

    Parameters
    ----------
    body
        The answer's JSON; other answers come back unchanged.
    cluster_url
        The cluster as the gateway addresses it, such as ``http://127.0.0.1:1234``.
    prefix
        The gateway's path, such as ``/user/x/bacalhau``.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return body
    items = answer.get("Items") if isinstance(answer, dict) else None
    cluster = urlsplit(cluster_url)
    changed = False
    for item in items if isinstance(items, list) else []:
        params = item.get("Params") if isinstance(item, dict) else None
        if isinstance(params, dict):
            changed |= _redirect(params, cluster, prefix)
    return msgspec.json.encode(answer) + b"\n" if changed else body


def _redirect(params: dict[str, Any], cluster: SplitResult, prefix: str) -> bool:
    url = params.get("URL")
    if not isinstance(url, str):
        return False
    try:
        link = urlsplit(url)
        if (link.scheme, _address(link)) != (cluster.scheme, _address(cluster)):
            return False
        target = paths.parse(link.path.removeprefix(cluster.path.rstrip("/")), link.query)
    except (ValueError, BacalhauError):
        return False
    if not target.is_result_file:
        return False
    params["URL"] = prefix + target.path_and_query
    return True


def _address(url: SplitResult) -> tuple[str | None, int | None]:
    return url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)
