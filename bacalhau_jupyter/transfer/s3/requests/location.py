"""What all S3 code shares: the place of an object, and the credentials.

boto3 finds credentials and lists; it is loaded on first use, in a thread. Credentials come from the default AWS
chain and are refreshed by it. Where there are none, requests go unsigned: public buckets need nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bacalhau_jupyter.lib.clock import SECOND, Clock, SystemClock
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError
from bacalhau_jupyter.transfer.core.addresses import parse_http_url, shown_url
from bacalhau_jupyter.transfer.s3.requests.access import S3Access, is_aws, region_of
from bacalhau_jupyter.transfer.s3.requests.errors import (
    CONNECT_TIMEOUT_S,
    READ_TIMEOUT_S,
    expired,
    s3_failure,
)
from bacalhau_jupyter.transfer.s3.requests.guard import guard
from bacalhau_jupyter.transfer.s3.requests.sign import FrozenCredentials

if TYPE_CHECKING:
    from botocore.credentials import Credentials

    from bacalhau_jupyter.transfer.core.reach import Reach

DEFAULT_REGION = "us-east-1"
MAX_CONNECTIONS = 16

_NO_CREDENTIALS_FOR_NS = 60 * SECOND


@dataclass(frozen=True)
class S3Location:
    """Where objects are.

    Attributes
    ----------
    key
        A key, a prefix that ends with ``/``, or either with ``*`` at its end; empty means the whole bucket.
    endpoint
        Base URL of a server other than AWS; buckets are then the first part of the path.
    """

    bucket: str
    key: str = ""
    region: str = ""
    endpoint: str = ""
    version_id: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def text_param(params: Mapping[str, Any], name: str, component: str) -> str:
    """Return a text among folded parameters; empty when missing.

    Raises
    ------
    BadRequest
        It is not a text.
    """
    value = params.get(name.lower())
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"{name} of the S3 spec is not text: {value!r}", component=component)
    return value


def parse_location(params: Mapping[str, Any], component: str) -> S3Location:
    """Read the location of a source or publisher spec; names in any case.

    Raises
    ------
    BadRequest
        ``Bucket`` is missing or no bucket's name, or ``Endpoint`` is not an http or https URL.
    """
    members = folded(params)
    bucket = text_param(members, "Bucket", component).strip()
    if not bucket:
        raise BadRequest("Bucket of the S3 spec is missing", component=component)
    if "@" in bucket:
        # What stands there is told to nobody: everybody who sees the job would read it.
        raise BadRequest(
            "Bucket of the S3 spec is no name: it holds a user or a password", component=component
        )
    if any(sign in bucket for sign in "/?#\\ \0") or bucket in (".", ".."):
        raise BadRequest(f"Bucket {bucket[:80]!r} is not the name of a bucket", component=component)
    endpoint = text_param(members, "Endpoint", component).strip()
    if endpoint:
        # A base URL needs no path.
        parse_http_url(endpoint.rstrip("/") + "/", component)
        parts = urlsplit(endpoint)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise BadRequest(
                f"Endpoint {shown_url(endpoint)!r} is not the base URL of an S3 server: no user, no password, no query",
                component=component,
            )
    return S3Location(
        bucket=bucket,
        key=text_param(members, "Key", component),
        region=text_param(members, "Region", component).strip(),
        endpoint=endpoint.rstrip("/"),
        version_id=text_param(members, "VersionID", component).strip(),
    )


def missing_package() -> str:
    """Return what S3 lacks here, as one sentence; empty when boto3 can be imported."""
    from importlib.util import find_spec

    if find_spec("boto3") is None:
        return 'S3 needs the package boto3: pip install "bacalhau-jupyter[s3]"'
    return ""


class S3Clients:
    """Makes and keeps clients, one for each region, endpoint and way of signing. Blocking; usable from any thread.

    Parameters
    ----------
    component
        Who asks, for error messages.
    access
        Which servers get the credentials; None: all of them, for who names the server himself.
    """

    def __init__(self, component: str, clock: Clock | None = None, access: S3Access | None = None) -> None:
        self.component = component
        self.access = access
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._session: Any = None
        self._kept: dict[tuple[str, str, bool], Any] = {}
        self.regions: dict[str, str] = {}
        """Where AWS says that buckets are."""
        self._none_until = 0

    @property
    def session(self) -> Any:
        """The boto3 session.

        Raises
        ------
        ConfigurationError
            boto3 is not installed.
        """
        if self._session is None:
            try:
                import boto3
            except ImportError as error:
                raise ConfigurationError(
                    "S3 needs the package boto3, which is not installed",
                    hint='pip install "bacalhau-jupyter[s3]"',
                    component=self.component,
                ) from error
            self._session = boto3.Session()
        return self._session

    def signs(self, location: S3Location) -> bool:
        """Whether the server of a location may have credentials."""
        return self.access is None or self.access.signs_for(location.endpoint)

    def withheld(self, location: S3Location) -> str:
        """Return the server that is asked without the credentials that there are; empty when none are withheld."""
        withheld = not self.signs(location) and self.credentials() is not None
        return shown_url(location.endpoint) if withheld else ""

    def reach(self, location: S3Location) -> Reach | None:
        """Return what limits the connections for a location; None: nothing."""
        return None if self.access is None else self.access.reach_of(location.endpoint)

    def credentials_for(self, location: S3Location) -> Credentials | None:
        """Return `credentials` where the location's server may have them; None elsewhere. Raises as it does."""
        return self.credentials() if self.signs(location) else None

    def credentials(self) -> Credentials | None:
        """Return what the default AWS chain finds; None is believed for a minute, since asking may take a second.

        Raises
        ------
        BacalhauError
            The chain is configured and broken.
        """
        session = self.session
        from botocore.exceptions import BotoCoreError

        with self._lock:
            if self._clock.monotonic_ns() < self._none_until:
                return None
            try:
                session_credentials: Credentials | None = session.get_credentials()
            except BotoCoreError as error:
                raise s3_failure(error, "find AWS credentials", self.component) from error
            if session_credentials is None:
                self._none_until = self._clock.monotonic_ns() + _NO_CREDENTIALS_FOR_NS
            return session_credentials

    def frozen(self, action: str, location: S3Location) -> FrozenCredentials | None:
        """Return the credentials of this moment for a location, renewed where they are about to end; None without any.

        Parameters
        ----------
        action
            What for, for the error message.

        Raises
        ------
        BacalhauError
            They can't be renewed.
        """
        from botocore.exceptions import BotoCoreError

        credentials = self.credentials_for(location)
        if credentials is None:
            return None
        try:
            frozen: FrozenCredentials = credentials.get_frozen_credentials()
        except BotoCoreError as error:
            raise s3_failure(error, action, self.component) from error
        except RuntimeError as error:
            # botocore's way to say that what it got is over already.
            raise expired(action, self.component) from error
        return frozen

    def client(self, location: S3Location) -> Any:
        """Return a boto3 S3 client for a location.

        Raises
        ------
        BacalhauError
            boto3 is missing, or the AWS configuration of this node is broken.
        """
        signed = self.credentials_for(location) is not None
        region = self.region(location)
        client_key = (region, location.endpoint, signed)
        with self._lock:
            if client_key not in self._kept:
                self._kept[client_key] = self._make(region, location, signed)
            return self._kept[client_key]

    def region(self, location: S3Location) -> str:
        """Return the region to sign for."""
        # The Go SDK, and with it the official node, reads AWS_REGION; botocore knows the other name only.
        named = location.region or region_of(location.endpoint) or os.environ.get("AWS_REGION", "").strip()
        return named or str(self.session.region_name or DEFAULT_REGION)

    def ca_bundle(self) -> str:
        """Return the file of trusted certificates that the AWS configuration names, or an empty text."""
        # The variable and the profile's key: botocore reads both here, and boto3 has no other door to it.
        return str(self.session._session.get_config_variable("ca_bundle") or "")

    def close(self) -> None:
        """Release connections."""
        with self._lock:
            for client in self._kept.values():
                client.close()
            self._kept.clear()

    def _make(self, region: str, location: S3Location, signed: bool) -> Any:
        import botocore
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        endpoint = location.endpoint
        options: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"total_max_attempts": 5, "mode": "standard"},
            "max_pool_connections": MAX_CONNECTIONS,
        }
        if endpoint:
            options["s3"] = {"addressing_style": "path"}
        if not is_aws(endpoint):
            # Other servers often know none of the newer checksums.
            options["request_checksum_calculation"] = "when_required"
            options["response_checksum_validation"] = "when_required"
        if signed:
            options["signature_version"] = "s3v4"
        else:
            options["signature_version"] = botocore.UNSIGNED
        try:
            made = self.session.client(
                "s3", region_name=region, endpoint_url=endpoint or None, config=Config(**options)
            )
        except (BotoCoreError, ValueError) as error:
            raise s3_failure(error, "set up an S3 client", self.component) from error
        reach = self.reach(location)
        if reach is not None:
            guard(made, reach, self.component, self.ca_bundle(), MAX_CONNECTIONS)
        return made
