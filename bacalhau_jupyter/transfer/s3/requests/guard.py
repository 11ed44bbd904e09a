"""boto3's requests to a server that a job named: judged before each one, and connected to what was judged."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

from bacalhau_jupyter.transfer.core.reach import Reach
from bacalhau_jupyter.transfer.s3.requests.errors import CONNECT_TIMEOUT_S, READ_TIMEOUT_S

_PORTS = {"http": 80, "https": 443}


def guard(client: Any, reach: Reach, component: str, ca_bundle: str, max_connections: int) -> None:
    """Let a boto3 client connect only to what may be reached; raises Forbidden from its calls otherwise."""
    from botocore.httpsession import URLLib3Session
    from botocore.utils import get_environ_proxies

    session = URLLib3Session(
        verify=ca_bundle or True,
        timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        max_pool_connections=max_connections,
    )
    # The one place where urllib3 and botocore let other code make the connections.
    session._manager.pool_classes_by_scheme = _pools(reach, component)

    def send(request: Any, **_: Any) -> Any:
        parts = urlsplit(request.url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        reach.check_host(host, port, component)
        proxied = bool(get_environ_proxies(request.url).get(parts.scheme))
        try:
            # Raised here, it does not count as a failed connection, which botocore would try again.
            reach.addresses(host, port, component)
        except OSError:
            if not proxied:
                return session.send(request)
        # botocore's own session knows the proxy, which may be on this machine.
        return None if proxied else session.send(request)

    client.meta.events.register_first("before-send.s3", send)


def _pools(reach: Reach, component: str) -> dict[str, Any]:
    from botocore import awsrequest
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    def connect(connection: Any) -> socket.socket:
        try:
            return reach.connect(connection.host, connection.port, CONNECT_TIMEOUT_S, component)
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"connecting to {connection.host} timed out") from error
        except OSError as error:
            raise NewConnectionError(
                connection, f"connecting to {connection.host} failed: {error}"
            ) from error

    class Plain(awsrequest.AWSHTTPConnection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class Secure(awsrequest.AWSHTTPSConnection):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return connect(self)

    class PlainPool(awsrequest.AWSHTTPConnectionPool):  # type: ignore[misc]
        ConnectionCls = Plain

    class SecurePool(awsrequest.AWSHTTPSConnectionPool):  # type: ignore[misc]
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
