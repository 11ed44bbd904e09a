"""Opening a connection to one Docker Engine: its socket, its certificates, the client. Everything here blocks."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.engines.docker.endpoints import Endpoint, Tls
from bacalhau_jupyter.engines.registries.configuration import sdk_without_configuration

if TYPE_CHECKING:
    from docker.tls import TLSConfig

PROBE_TIMEOUT_S = 10
CONNECTIONS = 64
ANSWER_LIMIT, ANSWER_S = 64 << 20, 60.0
"""Bytes that an answer may have, and seconds that it may take once it has begun; streams have no limit."""
KEEPALIVE_S, KEEPALIVE_PROBES, UNACKNOWLEDGED_MS = 5, 3, 20_000
"""When a silent TCP connection is asked for a sign of life, and after how many of them, or what time, it is dead: a log
stream says nothing for hours, and packets that vanish end no connection."""


class NoEngine(Exception):
    """No Docker Engine can be used; the message is one sentence for people."""


def open_client(endpoint: Endpoint, headers: Mapping[str, str]) -> Any:
    """Return the SDK's low-level client for an endpoint; it has agreed on an API version.

    Raises
    ------
    NoEngine
        Nothing listens, or a file of the certificates is missing.
    docker.errors.DockerException, OSError, ValueError
        The engine does not answer, or the address or version is malformed.
    """
    check_socket(endpoint)
    with sdk_without_configuration(headers):
        return _client_class(is_tcp=endpoint.url.startswith(("tcp://", "http://", "https://")))(
            base_url=endpoint.url,
            version=endpoint.api_version or "auto",
            timeout=PROBE_TIMEOUT_S,
            tls=False if endpoint.tls is None else _tls_config(endpoint.tls, endpoint.origin),
            use_ssh_client=True,
            max_pool_size=CONNECTIONS,
        )


def check_socket(endpoint: Endpoint) -> None:
    """Say the two usual reasons in plain words; the SDK's own are four exceptions deep.

    Raises
    ------
    NoEngine
        Nothing listens on the endpoint's socket, or this user may not use it.
    """
    path = endpoint.socket
    if path is None:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError as error:
            if endpoint.shown:
                # The socket is the near end of a way, which people do not know.
                raise NoEngine(f"{endpoint.engine} does not answer") from error
            raise _no_socket(endpoint, path, error) from None


def _no_socket(endpoint: Endpoint, path: Path, error: OSError) -> NoEngine:
    match error:
        case PermissionError():
            return NoEngine(
                f"permission denied on {path} ({endpoint.origin}): "
                "this user may not use the Docker Engine (is it in the group `docker`?)"
            )
        case FileNotFoundError():
            return NoEngine(f"there is no Docker Engine: {path} ({endpoint.origin}) does not exist")
        case _:
            return NoEngine(f"no Docker Engine answers at {path} ({endpoint.origin}): {error.strerror}")


def in_words(error: BaseException, endpoint: Endpoint) -> str:
    """Return what is wrong with a connection, for people; certificates have words of their own."""
    for cause in causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause, endpoint)
        if isinstance(cause, ssl.SSLError):
            text = str(cause).lower()
            if "alert" in text or "eof" in text:
                return "it refuses this node's certificate (cert.pem: of another CA, expired, or missing)"
            if "wrong_version_number" in text or "record layer" in text:
                return "this port does not speak TLS"
    hung_up = any(
        isinstance(cause, ConnectionError) and cause.errno in (None, errno.ECONNRESET)
        for cause in causes(error)
    )
    if endpoint.tls is None and (hung_up or "HTTP request to an HTTPS server" in str(error)):
        return "it closed the connection: if it wants TLS, set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH"
    if hung_up:
        return "it closed the connection: it may refuse this node's certificate (cert.pem)"
    reason = str(getattr(error, "explanation", None) or error).strip()
    if endpoint.api_version and "version" in reason.lower():
        return f"{reason} (DOCKER_API_VERSION={endpoint.api_version})"
    return reason


def _certificate(error: ssl.SSLCertVerificationError, endpoint: Endpoint) -> str:
    message = error.verify_message.rstrip(".")
    if "unable to get local issuer" in message or "self-signed" in message or "self signed" in message:
        return f"its certificate is not signed by {endpoint.tls.ca if endpoint.tls else 'a known CA'}"
    return f"its certificate can't be trusted: {message}"


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it was made of: requests and urllib3 wrap theirs in arguments, too."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        parts = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        waiting += [part for part in parts if isinstance(part, BaseException)]


def _tls_config(tls: Tls, origin: str) -> TLSConfig:
    from docker.tls import TLSConfig

    files = [tls.ca] if tls.verify else []
    # As `docker` does: an engine may want no certificate of its clients.
    shows_itself = tls.cert.exists() or tls.key.exists()
    missing = [
        path for path in (*files, *([tls.cert, tls.key] if shows_itself else [])) if not path.is_file()
    ]
    if missing:
        raise NoEngine(f"the certificate file {missing[0]} ({origin}) does not exist")
    return TLSConfig(
        client_cert=(str(tls.cert), str(tls.key)) if shows_itself else None,
        ca_cert=str(tls.ca),
        verify=tls.verify,
    )


def _client_class(*, is_tcp: bool) -> type[Any]:
    from docker import APIClient
    from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection

    class SocketConnection(UnixHTTPConnection):
        """Closes its socket where nothing listens; the SDK's own leaves it to the garbage collector."""

        def connect(self) -> None:
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                opened.settimeout(self.timeout)
                opened.connect(self.unix_socket)
            except BaseException:
                opened.close()
                raise
            self.sock = opened

    def closing(adapter: Any) -> None:
        pool_of = adapter.get_connection

        def get_connection(url: str, proxies: Any = None) -> Any:
            pool: Any = pool_of(url, proxies)
            pool._new_conn = lambda: SocketConnection(pool.base_url, pool.socket_path, pool.timeout)
            return pool

        adapter.get_connection = get_connection

    class Client(APIClient):
        """Trusts the engine's own CA, whichever one REQUESTS_CA_BUNDLE names for other servers."""

        def mount(self, prefix: str | bytes, adapter: Any) -> None:
            if is_tcp:
                # Before the first call: a pool keeps the options that it was made with.
                adapter.poolmanager.connection_pool_kw["socket_options"] = keepalive()
            elif isinstance(adapter, UnixHTTPAdapter):
                closing(adapter)
            super().mount(prefix, adapter)

        def send(self, request: Any, **options: Any) -> Any:
            # An engine has no reason to send us to another server, which would get our certificate.
            options["allow_redirects"] = False
            if options.get("stream"):
                return super().send(request, **options)
            response: Any = super().send(request, **options | {"stream": True})
            response._content = _whole(response)
            response._content_consumed = True
            return response

        def merge_environment_settings(self, *arguments: Any, **named: Any) -> Any:
            merged: Any = super().merge_environment_settings(*arguments, **named)
            if self.cert or self.verify is not True:
                merged.update(verify=self.verify, cert=self.cert)
            return merged

    return Client


def _whole(response: Any) -> bytes:
    """Read an answer, which may neither be endless nor take for ever.

    Raises
    ------
    requests.ConnectionError
        It is.
    """
    import requests

    body, until = bytearray(), time.monotonic() + ANSWER_S
    for piece in response.iter_content(1 << 16):
        body += piece
        if len(body) > ANSWER_LIMIT or time.monotonic() > until:
            response.close()
            raise requests.ConnectionError("its answer has no end")
    return bytes(body)


def keepalive() -> list[tuple[int, int, int]]:
    """Return the socket options that end a TCP connection on which packets vanish, as far as this system has them."""
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, amount in (
        ("TCP_KEEPIDLE", KEEPALIVE_S),
        ("TCP_KEEPINTVL", KEEPALIVE_S),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
    ):
        if (option := getattr(socket, name, None)) is not None:
            options.append((socket.IPPROTO_TCP, option, amount))
    return options
