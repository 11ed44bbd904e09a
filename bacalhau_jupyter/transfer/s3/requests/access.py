"""Which S3 servers get credentials: AWS, and those that the configuration lists. A job names its own servers.

A signed request shows its server the access key's ID and the session token, and a link that is signed for a server
works there. Other servers are asked anonymously, as strangers would, and only where a job may reach
(`transfer.core.reach`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from bacalhau_jupyter.models.errors import ConfigurationError, Forbidden
from bacalhau_jupyter.transfer.core.addresses import shown_url
from bacalhau_jupyter.transfer.core.reach import KEY as ADDRESSES
from bacalhau_jupyter.transfer.core.reach import Reach

KEY = "S3.TrustedEndpoints"

_MANAGED = "Publishers.Types.S3Managed.Endpoint"
_REGION = r"[a-z]{2}(?:-[a-z]+)+-\d+"
# Not all of amazonaws.com: behind many of its names are servers of anybody's.
_AWS = re.compile(
    r"(?:[a-z0-9][a-z0-9.-]*\.)?s3(?:-fips|-accelerate)?(?:\.dualstack)?"
    rf"(?:[.-]{_REGION})?\.amazonaws\.com(?:\.cn)?"
    rf"|(?:bucket|accesspoint)\.vpce-[a-z0-9-]+\.s3\.{_REGION}\.vpce\.amazonaws\.com"
)
_AWS_REGION = re.compile(rf"[.-]({_REGION})\.(?:vpce\.)?amazonaws\.com")
_PORTS = {"http": 80, "https": 443}
# Where botocore itself reads which server stands for AWS.
_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def is_aws(endpoint: str) -> bool:
    """Whether a server is AWS itself, over https; an empty endpoint means AWS or botocore's setting."""
    if not endpoint:
        return True
    base = _base(endpoint)
    if base is None:
        return False
    scheme, host, port, path = base
    return (scheme, port, path) == ("https", 443, "") and _AWS.fullmatch(host) is not None


def region_of(endpoint: str) -> str:
    """Return the region that the name of a server of AWS says; empty where it says none."""
    match = _AWS_REGION.search(endpoint) if endpoint and is_aws(endpoint) else None
    return "" if match is None else match[1]


class S3Access:
    """Who gets credentials, and what else may be asked.

    Parameters
    ----------
    trusted
        Base URLs of servers other than AWS.
    reach
        What servers that are not trusted may lead to; None: anywhere.
    environ
        Variables that may name a server for botocore.

    Raises
    ------
    ConfigurationError
        A trusted server is not an http or https URL.
    """

    def __init__(
        self,
        trusted: Iterable[str] = (),
        *,
        reach: Reach | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        named = os.environ if environ is None else environ
        self._trusted = {_listed(text) for text in trusted if text.strip()}
        self._trusted |= {base for name in _VARIABLES if (base := _base(named.get(name, ""))) is not None}
        self._reach = reach

    @classmethod
    def of(cls, settings: Callable[[str], Any], *, is_node: bool = True) -> S3Access:
        """Return what is configured; clients choose their servers themselves, so they may reach everything."""
        listed = settings(KEY)
        trusted = [str(item) for item in listed] if isinstance(listed, list | tuple) else []
        managed = str(settings(_MANAGED) or "")
        if _base(managed) is not None:
            trusted.append(managed)
        reach = Reach.of(settings(ADDRESSES)) if is_node else None
        return cls(trusted, reach=reach)

    def signs_for(self, endpoint: str) -> bool:
        """Whether requests to a server carry credentials; an empty endpoint means AWS or botocore's setting."""
        if not endpoint:
            return True
        base = _base(endpoint)
        if base is None:
            return False
        return is_aws(endpoint) or base in self._trusted

    def reach_of(self, endpoint: str) -> Reach | None:
        """Return what limits the connections to a server; None for one that gets credentials anyway."""
        return None if self.signs_for(endpoint) else self._reach

    def check(self, endpoint: str, component: str) -> None:
        """Refuse a server whose URL alone shows that it may not be asked.

        Raises
        ------
        Forbidden
            It leads to this machine, and is not trusted.
        """
        reach = self.reach_of(endpoint)
        if reach is None:
            return
        try:
            reach.check_url(endpoint, component)
        except Forbidden as error:
            raise Forbidden(
                error.message,
                hint=f"the node's owner can add it to {KEY}, then it gets credentials, or to {ADDRESSES}",
                component=component,
            ) from None

    def need(self, endpoint: str, component: str) -> None:
        """Refuse a server that would have to get credentials, and does not.

        Raises
        ------
        Forbidden
            It is not trusted.
        """
        if not self.signs_for(endpoint):
            raise Forbidden(
                f"the AWS credentials of this node are not sent to {shown_url(endpoint)}",
                hint=f"the node's owner can add it to {KEY}",
                component=component,
            )


def _listed(text: str) -> tuple[str, str, int, str]:
    base = _base(text)
    if base is None:
        raise ConfigurationError(
            f"{KEY} holds {shown_url(text.strip())!r}, which is not an http or https URL of a server",
            hint="write https://minio.example.org:9000",
            component="Config",
        )
    return base


def _base(text: str) -> tuple[str, str, int, str] | None:
    """Return scheme, host, port and path of a server in one spelling; None if it is not a server."""
    try:
        parts = urlsplit(text.strip())
        scheme, host, port = parts.scheme.lower(), (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if scheme not in _PORTS or not host or "@" in parts.netloc or parts.query or parts.fragment:
        return None
    return scheme, host, port or _PORTS[scheme], parts.path.rstrip("/")
