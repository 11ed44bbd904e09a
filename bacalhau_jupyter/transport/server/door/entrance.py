"""Our connection over which the NATS server asks about others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import ServiceUnavailable
from bacalhau_jupyter.transport.server.door.responder import Responder

if TYPE_CHECKING:
    from nats.aio.client import Client

_log = logging.getLogger(__name__)

_CONNECT_S = 10
_CLOSE_S = 5.0
_RECONNECT_S = 1


class Entrance:
    """The connection, as long as one run of the server lives.

    Parameters
    ----------
    responder
        Answers.
    """

    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._client: Client | None = None

    async def open(self, url: str, user: str, password: str, tls: ssl.SSLContext | None) -> None:
        """Connect and answer from now on.

        Raises
        ------
        ServiceUnavailable
            The server does not take the connection.
        """
        # Imported here: a quarter of a second, for those who open a link only.
        from nats.aio.client import Client
        from nats.errors import Error

        client = Client()
        try:
            async with asyncio.timeout(_CONNECT_S * 2):
                await client.connect(
                    url,
                    name="doorkeeper",
                    user=user,
                    password=password,
                    tls=tls,
                    tls_handshake_first=tls is not None,
                    connect_timeout=_CONNECT_S,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_RECONNECT_S,
                    allow_reconnect=True,
                    error_cb=_ignore,
                )
        except (OSError, Error, TimeoutError) as error:
            await _end(client)
            reason = str(error) or type(error).__name__
            raise ServiceUnavailable(f"nats-server does not take our own connection: {reason}") from None
        self._client = client
        await self._responder.attend(client)

    async def close(self) -> None:
        """End the connection; harmless when the server is gone."""
        await self._responder.close()
        if self._client is not None:
            await _end(self._client)
            self._client = None


async def _end(client: Client) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLOSE_S):
            await client.close()


async def _ignore(error: Exception) -> None:
    """Keep the library from printing what the supervisor tells with the reason."""
    _log.debug("the doorkeeper's connection: %s", error)
