"""Where links to local results lead, and the listener behind them (``Publishers.Types.Local.Address`` and ``Port``)."""

from __future__ import annotations

import ipaddress
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from bacalhau_jupyter.api.app import build_results_app
from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node.doors import ports
from bacalhau_jupyter.node.doors.listening import Doors

ADDRESS, PORT = "Publishers.Types.Local.Address", "Publishers.Types.Local.Port"
DEFAULT_ADDRESS = "127.0.0.1"
"""The name of this machine for itself; without a port of their own, links lead to where the caller came from."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True)
class LinkAddress:
    """Where links lead. Empty parts stay as the caller has them.

    Attributes
    ----------
    scheme
        Only a proxy in front of this node has one: then the port is the proxy's.
    """

    scheme: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def of(cls, config: Config) -> LinkAddress:
        """Read both keys; a port that nobody set is the API's."""
        port = 0 if config.source(PORT) == "default" else config[PORT]
        return cls.parse(config[ADDRESS], port)

    @property
    def listens(self) -> bool:
        """Whether the node listens at the port for these links alone."""
        return bool(self.port) and not self.scheme

    @property
    def listening_host(self) -> str:
        """The address to listen on: loopback where links name that, else all."""
        host = self.host.strip("[]")
        if host.lower() == "localhost":
            return DEFAULT_ADDRESS
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return "0.0.0.0"
        if address.is_loopback:
            return host
        return "::" if address.version == 6 else "0.0.0.0"

    def of_api(self) -> LinkAddress:
        """Return the address for links to what only the API serves."""
        return (
            LinkAddress(self.scheme, "" if self.host == DEFAULT_ADDRESS else self.host)
            if self.listens
            else self
        )

    @classmethod
    def parse(cls, address: str, port: int) -> LinkAddress:
        """Read the two settings.

        Raises
        ------
        ConfigurationError
            The address is neither a host name, an IP address nor one of these after ``http://`` or ``https://``.
        """
        scheme, separator, host = address.strip().rpartition("://")
        host = host.rstrip("/")
        if host.count(":") > 1 and not host.startswith("["):
            host = f"[{host}]"
        if (separator and scheme.lower() not in ("http", "https")) or (host and not _HOST.fullmatch(host)):
            raise ConfigurationError(
                f"{ADDRESS} is not a host: {address!r}",
                hint=f"write a name or an IP address, or https://name; the port goes into {PORT}",
                component="Config",
            )
        if not separator and host in ("", DEFAULT_ADDRESS):
            host = DEFAULT_ADDRESS if port else ""
        return cls(scheme.lower(), host, port)

    def applied_to(self, base_url: str) -> str:
        """Return the base URL of links for a caller who reached the API under ``base_url``."""
        parts = urlsplit(base_url)
        host = self.host or (f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname)
        port = self.port
        # A scheme without a port means the one that it stands for, not the API's.
        if not port and not self.scheme:
            port = parts.port or 0
        scheme = self.scheme or parts.scheme
        return f"{scheme}://{host}{f':{port}' if port else ''}{parts.path}".rstrip("/")


async def serve_results(
    stack: AsyncExitStack, address: LinkAddress, services: ApiServices, doors: Doors
) -> None:
    """Serve signed results, and nothing else, at a port of their own until ``stack`` is closed.

    Raises
    ------
    ConfigurationError
        The port can't be listened on.
    """
    try:
        listener = ports.listen(address.listening_host, address.port)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"local results can't be served: {error.message}",
            hint=f"Choose another {PORT}, or remove it: then the API serves them.",
            component="Config",
        ) from error
    stack.callback(listener.close)
    await doors.open(stack, build_results_app(services), listener, "results")
