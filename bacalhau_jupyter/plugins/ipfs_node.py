"""The IPFS node that the configuration names, as the ``ipfs`` source and publisher reach it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bacalhau_jupyter.models.errors import ConfigurationError, NetworkFailure, TimedOut
from bacalhau_jupyter.plugins.contract import Availability
from bacalhau_jupyter.transfer.ipfs.errors import READ_TIMEOUT_S
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode


class ConfiguredIpfsNode:
    """Connects to the endpoint that a setting holds; the setting is read anew each time.

    Parameters
    ----------
    settings
        Looks up a configuration key.
    key
        The key of the endpoint.
    component
        Named in errors.
    """

    def __init__(self, settings: Callable[[str], Any], key: str, component: str) -> None:
        self._settings = settings
        self._key = key
        self._component = component

    async def probe(self) -> Availability:
        """Ask the node for its identity; without an endpoint the plug-in is off."""
        if not self._endpoint():
            return Availability(available=False, problem=self._missing())
        try:
            async with self.open() as node:
                return Availability(available=True, runtime=await node.identity())
        except (NetworkFailure, TimedOut) as error:
            return Availability(available=False, problem=error.message, may_change=True)

    def open(self, read_timeout_s: float = READ_TIMEOUT_S) -> IpfsNode:
        """Return a client, to be used as an asynchronous context manager.

        Raises
        ------
        ConfigurationError
            No endpoint is configured, or it is not one.
        """
        endpoint = self._endpoint()
        if not endpoint:
            raise ConfigurationError(self._missing(), component=self._component)
        return IpfsNode(endpoint, self._component, read_timeout_s=read_timeout_s)

    def _endpoint(self) -> str:
        return str(self._settings(self._key) or "").strip()

    def _missing(self) -> str:
        return f"no IPFS node is configured ({self._key})"
