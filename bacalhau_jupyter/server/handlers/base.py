"""What the handlers share: the parts of the extension, authorisation, and the error envelope."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from http.client import responses
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado import web

from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, Forbidden, NotFound
from bacalhau_jupyter.server.cluster.logins import CodeLogins
from bacalhau_jupyter.server.gateway import headers, paths

if TYPE_CHECKING:
    from pathlib import Path

    from bacalhau_jupyter.server.cluster.choice import ChoiceWatch
    from bacalhau_jupyter.server.cluster.connection import ClusterConnection
    from bacalhau_jupyter.server.gateway.upstream import Upstream
    from bacalhau_jupyter.server.jobs.activity import ActivityWatch
    from bacalhau_jupyter.server.jobs.collector import NotebookCollector

AUTH_RESOURCE = "bacalhau"
SETTING = "bacalhau_gateway"
PREFIX = "bacalhau"
PERSON = "X-Bacalhau-Person"
"""The header by which our front end says that the user pressed a key or a button just now."""
_READING = ("GET", "HEAD", "OPTIONS")


@dataclass
class Gateway:
    """The parts behind the handlers.

    Attributes
    ----------
    upstream
        The way to the connected cluster.
    activity
        Who counts running jobs.
    repo
        The repo directory of the embedded node.
    choice
        Who notices that another cluster is chosen elsewhere.
    streams
        The running websocket relays.
    notebooks
        Who submits notebooks and brings their copies back; None before the server runs.
    logins
        The login that waits for a person, if one does.
    """

    upstream: Upstream
    activity: ActivityWatch
    repo: Path
    choice: ChoiceWatch
    streams: set[asyncio.Task[None]] = field(default_factory=set)
    notebooks: NotebookCollector | None = None
    logins: CodeLogins = field(default_factory=CodeLogins)
    _finding: asyncio.Task[None] | None = None

    def reconnect(self) -> None:
        """Look for the cluster anew: another one was chosen, or there is another credential for it."""
        self.choice.note()
        connection = self.upstream.connection
        connection.switch()
        for relay in list(self.streams):
            # Browsers open them again, and get the new cluster's.
            relay.cancel()
        # At once: a terminal that opens next inherits where the new one is.
        self._finding = asyncio.create_task(_found(connection), name="bacalhau switch")

    async def close(self) -> None:
        """End every relay and close the connections to the cluster."""
        self.logins.drop()
        if self._finding is not None:
            self._finding.cancel()
        relays = list(self.streams)
        for relay in relays:
            relay.cancel()
        if relays:
            await asyncio.wait(relays, timeout=1)
        collector, self.notebooks = self.notebooks, None
        if collector is not None:
            await collector.close()
        await self.upstream.close()


async def _found(connection: ClusterConnection) -> None:
    with contextlib.suppress(BacalhauError):
        await connection.endpoint()


class GatewayMixin(JupyterHandler):
    """For handlers under ``<base_url>bacalhau``."""

    auth_resource = AUTH_RESOURCE

    @property
    def gateway(self) -> Gateway:
        """The parts behind the handlers."""
        parts: Gateway = self.settings[SETTING]
        return parts

    @property
    def prefix(self) -> str:
        """Path under which the gateway is reached."""
        return f"{self.base_url.rstrip('/')}/{PREFIX}"

    def target(self) -> paths.Target:
        """Read the path and query of this request.

        Raises
        ------
        BadRequest, NotFound
            The path may not pass.
        """
        # The raw path: the router's path is decoded, so different paths look the same.
        raw = self.request.path
        if not raw.startswith(self.prefix + "/"):
            raise NotFound("this path is not below the gateway")
        return paths.parse(raw[len(self.prefix) :], self.request.query)

    async def authorize(self, action: str) -> None:
        """Ask Jupyter's authorizer.

        Raises
        ------
        Forbidden
            No user is logged in, or the user may not do this.
        """
        user = self.current_user
        if user is None or not await ensure_async(
            self.authorizer.is_authorized(self, user, action, AUTH_RESOURCE)
        ):
            raise Forbidden(f"this Jupyter user may not {action} on the resource {AUTH_RESOURCE}")

    def send_envelope(self, error: BacalhauError) -> None:
        """Answer with the official error envelope."""
        self.clear_header("Content-Length")
        self.set_status(error.status, responses.get(error.status, "Error"))
        self.set_header("Content-Security-Policy", headers.ISOLATED)
        self.set_header("Content-Type", "application/json")
        body = error.envelope(self.request.headers.get("X-Request-Id", ""))
        self.finish(encode(body) + b"\n")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with the envelope for what Jupyter and Tornado raise, too."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if not isinstance(error, BacalhauError):
            message = responses.get(status_code, "Unknown error")
            if isinstance(error, web.HTTPError) and error.log_message:
                message = error.log_message % error.args if error.args else error.log_message
            code = {403: "Forbidden", 404: "NotFound"}.get(status_code, "InternalError")
            error = BacalhauError(message, code=code, component="Jupyter", status=status_code)
        self.send_envelope(error)


class GatewayAPIHandler(GatewayMixin, APIHandler):
    """For the gateway's ordinary requests."""

    @property
    def _track_activity(self) -> bool:  # type: ignore[override]
        """Whether Jupyter notes the request as activity, which keeps an idle server from being ended.

        Panels read by themselves: by timers, and because of events. What is changed, and what a page asks while
        somebody uses it (it says so), is a person's.
        """
        return self.request.method not in _READING or PERSON in self.request.headers
