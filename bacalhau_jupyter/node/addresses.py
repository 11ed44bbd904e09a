"""Which host and port links to local results name (``Publishers.Types.Local.Address`` and ``Port``)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from bacalhau_jupyter.models.errors import ConfigurationError

ADDRESS, PORT = "Publishers.Types.Local.Address", "Publishers.Types.Local.Port"
DEFAULT_ADDRESS, DEFAULT_PORT = "127.0.0.1", 6001
"""What upstream binds by default. Here results are served by the API, so they mean: as the caller addressed it."""

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True)
class LinkAddress:
    """Where links lead: a proxy or a forwarded port before the API, say. Empty parts stay as the caller has them."""

    scheme: str = ""
    host: str = ""
    port: int = 0

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
        if host == DEFAULT_ADDRESS and not separator:
            host = ""
        return cls(scheme.lower(), host, 0 if port == DEFAULT_PORT else port)

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
