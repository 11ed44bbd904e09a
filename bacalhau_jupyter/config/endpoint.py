"""An API to talk to: its address, and what it asks for."""

from __future__ import annotations

import base64
import ssl as tls
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from bacalhau_jupyter.config.authorities import Trust
from bacalhau_jupyter.config.election import NodeRecord
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.masking import MASK
from bacalhau_jupyter.models.errors import ConfigurationError

COMPONENT = "Endpoint"

LOCAL_NODE = "local node"
"""The ``source`` of the node of a repo directory."""
_PORT = 1234
_SPACE, _DELETE = 0x20, 0x7F


@dataclass(frozen=True)
class Endpoint:
    """An API to talk to.

    Attributes
    ----------
    url
        Base URL without a trailing slash.
    token
        Bearer token or API key; None or empty means none.
    basic
        Base64 of ``user:password``; used without a token.
    insecure
        Whether the server's certificate is not checked.
    ca_file
        File with the certificate authority that signed the server's certificate; empty trusts the system's only.
    certificate_file
        File with the server's certificate, which is believed instead of any authority.
    source
        Where this comes from, in words: ``profile prod``, ``environment``, ``local node``, ``argument``.
    record
        The local node behind it, when it is one.
    timeout_s
        Request time-out in seconds; None means the client's own.
    overrides
        Config keys (``Key=Value``) that a command sets for itself.
    profile
        Name of the saved profile that it comes from; empty for another source.
    """

    url: str
    token: str | None = None
    basic: str = ""
    insecure: bool = False
    ca_file: str = ""
    certificate_file: str = ""
    source: str = ""
    record: NodeRecord | None = None
    timeout_s: float | None = None
    overrides: tuple[str, ...] = ()
    profile: str = ""

    def __post_init__(self) -> None:
        """Move a user and password out of the URL, which is shown."""
        scheme, separator, rest = self.url.partition("://")
        authority, slash, path = rest.partition("/")
        user, at, host = authority.rpartition("@")
        if not (separator and at):
            return
        object.__setattr__(self, "url", f"{scheme}://{host}{slash}{path}")
        if not self.token and not self.basic:
            name, _, password = user.partition(":")
            pair = f"{unquote(name)}:{unquote(password)}"
            object.__setattr__(self, "basic", base64.b64encode(pair.encode()).decode())

    @classmethod
    def of_record(cls, repo: Repo, record: NodeRecord) -> Endpoint:
        """Return the endpoint of a node on this host, with the API key that its repo holds."""
        return cls.of_local(record, repo.api_key(), LOCAL_NODE)

    @classmethod
    def of_local(cls, record: NodeRecord, token: str, source: str) -> Endpoint:
        """Return the endpoint of a node on this host, whose record says how its certificate is checked."""
        return cls(
            url=record.url,
            token=token,
            ca_file=record.ca_file,
            certificate_file=record.certificate_file,
            source=source,
            record=record,
        )

    @property
    def embedded(self) -> bool:
        """Whether this is the node of a repo directory on this host, which lives as long as it is leased."""
        return self.record is not None

    def headers(self) -> dict[str, str]:
        """Return the headers that authenticate a request.

        Raises
        ------
        ConfigurationError
            The token holds what no header can.
        """
        if self.token:
            # Files and variables often end with a line break, which is no part of a token.
            token = self.token.strip()
            if any(ord(character) < _SPACE or ord(character) == _DELETE for character in token):
                raise ConfigurationError(
                    f"the token for {self.url} ({self.source}) holds a line break or another control character",
                    hint="save or set it again, in one line",
                    component=COMPONENT,
                )
            return {"Authorization": f"Bearer {token}"}
        return {"Authorization": f"Basic {self.basic}"} if self.basic else {}

    def ssl(self) -> tls.SSLContext | bool:
        """Return how to check the server's certificate: True for the system's way. The same for every request.

        Raises
        ------
        ConfigurationError
            ``API.TLS.CAFile`` can't be read, or holds no certificate.
        """
        if not self.url.startswith("https:"):
            return True
        # The file beside our own node names its authority, which signs for nobody else.
        is_only = self.embedded
        return Trust(self.insecure, self.ca_file, is_only, self.certificate_file).context()


def basic_credential(user: str, password: str) -> str:
    """Return `Endpoint.basic` of a user; empty without one."""
    return base64.b64encode(f"{user}:{password}".encode()).decode() if user else ""


def endpoint_url(endpoint: str, scheme: str = "http") -> str:
    """Complete ``host:port`` or ``host`` to a URL; a URL keeps its path (a Jupyter server's gateway has one).

    Raises
    ------
    ConfigurationError
        It is neither, or of another scheme than http and https.
    """
    if "://" not in endpoint:
        try:
            parts = urlsplit(f"//{endpoint}")
            place = endpoint if parts.port else f"{parts.netloc}:{_PORT}{parts.path}"
        except ValueError as error:
            shown = shown_endpoint(endpoint)
            raise ConfigurationError(f'"{shown}" is not an endpoint') from error
        endpoint = f"{scheme}://{place}"
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(f'"{endpoint}" is not an endpoint: http or https only')
    return endpoint.rstrip("/")


def shown_endpoint(endpoint: str) -> str:
    """Return an endpoint as a person entered it, with or without a scheme, without its user and password."""
    scheme, separator, rest = endpoint.rpartition("://")
    authority, slash, path = rest.partition("/")
    _, at, host = authority.rpartition("@")
    return f"{scheme}{separator}{MASK + at if at else ''}{host}{slash}{path}"
