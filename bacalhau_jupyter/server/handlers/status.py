"""``<base_url>bacalhau/status``: what the front end asks first."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
from jupyter_server.auth.decorator import authorized
from tornado import web

from bacalhau_jupyter._version import __version__
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, Unauthorized
from bacalhau_jupyter.server.gateway import paths
from bacalhau_jupyter.server.handlers.base import Gateway, GatewayAPIHandler

TIMEOUT_S = 5.0
_ANY_JOBS = paths.parse("/api/v1/orchestrator/jobs", "limit=1")


class StatusHandler(GatewayAPIHandler):
    """Versions, the connected cluster, and what is wrong with it."""

    SUPPORTED_METHODS = ("GET", "OPTIONS")
    _track_activity = False

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Describe the gateway; a cluster that can't be reached is a problem in the answer, not an error."""
        self.finish(encode(await describe(self.gateway)))


async def describe(gateway: Gateway) -> dict[str, Any]:
    """Return the status as plain data.

    Members: ``version`` (of this package), ``repo``, ``cluster`` (``url``, ``source``, ``embedded``; null without
    one), ``alive``, ``node_version``, ``active_jobs`` (null when they are not counted), ``problem`` (a sentence, or
    empty) and ``refused`` (whether the problem is the credential).
    """
    version, problem, refused = "", "", False
    try:
        async with asyncio.timeout(TIMEOUT_S):
            version = await _node_version(gateway)
            await _check_credential(gateway)
    except BacalhauError as error:
        problem, refused = error.message, isinstance(error, Unauthorized)
    except TimeoutError:
        problem = (
            gateway.upstream.connection.problem or f"the cluster did not answer within {TIMEOUT_S:.0f} s"
        )
    except (aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
        problem = f"the cluster's answer can't be read: {error}"
    endpoint = gateway.upstream.connection.current
    return {
        "version": __version__,
        "repo": str(gateway.repo),
        "cluster": None
        if endpoint is None
        else {"url": endpoint.url, "source": endpoint.source, "embedded": endpoint.embedded},
        "alive": not problem,
        "node_version": version,
        "active_jobs": gateway.activity.active_jobs,
        "problem": problem,
        "refused": refused,
    }


async def _node_version(gateway: Gateway) -> str:
    answer, _ = await gateway.upstream.request("GET", paths.parse("/api/v1/agent/version"), {})
    async with answer:
        body = await answer.content.read(64 * 1024)
        if answer.status != 200:
            raise BacalhauError(f"the cluster answered HTTP {answer.status}")
        decoded = msgspec.json.decode(body)
    return str(decoded.get("GitVersion", "")) if isinstance(decoded, dict) else ""


async def _check_credential(gateway: Gateway) -> None:
    """Make a request that needs a credential: the version is public."""
    endpoint = gateway.upstream.connection.current
    if endpoint is None or endpoint.embedded:
        return
    answer, endpoint = await gateway.upstream.request("GET", _ANY_JOBS, {})
    answer.close()
    if answer.status == 401:
        raise Unauthorized(f"{endpoint.url} does not accept {_credential(endpoint)}")


def _credential(endpoint: Endpoint) -> str:
    if endpoint.token:
        return "the saved token"
    return "this user name and password" if endpoint.basic else "requests without a credential"
