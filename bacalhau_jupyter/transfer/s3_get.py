"""GETs of objects: as little work for each as possible, because an input may be ten thousand small files.

boto3 spends milliseconds on each request; this takes a third of one. Connections are kept and shared by threads.
"""

from __future__ import annotations

import base64
import http.client
import queue
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

from bacalhau_jupyter.lib.clock import SECOND, Clock, SystemClock
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.transfer.s3 import DEFAULT_REGION, S3Clients, S3Location
from bacalhau_jupyter.transfer.s3_errors import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, s3_failure
from bacalhau_jupyter.transfer.s3_listing import S3Object
from bacalhau_jupyter.transfer.s3_sign import signed_headers

_MAX_ERROR_BYTES = 64 * 1024


class _Wire:
    """Connections to one server, directly or through the proxy that the environment names."""

    def __init__(self, clients: S3Clients, base: str, read_timeout: float) -> None:
        from botocore.httpsession import get_cert_path
        from botocore.utils import get_environ_proxies

        parts = urlsplit(base)
        self.host = parts.netloc
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._name, self._port = parts.hostname or "", parts.port
        self._read_timeout = read_timeout
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = ssl.create_default_context(cafile=get_cert_path(clients.ca_bundle() or True))
        proxy = get_environ_proxies(base).get(parts.scheme, "")
        self._proxy = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else None
        self._idle: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()

    def take(self) -> http.client.HTTPConnection:
        """Return a connection that was kept, or a new one."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._connect()

    def keep(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose answer was read to its end."""
        self._idle.put(connection)

    def close(self) -> None:
        """Close what was kept."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    def target(self, path: str) -> str:
        """Return what stands in the request line: proxies for plain http want the whole URL."""
        return self.origin + path if self._proxy is not None and self._context is None else path

    def proxy_headers(self) -> dict[str, str]:
        """Return what the proxy wants to know of who asks."""
        if self._proxy is None or not self._proxy.username:
            return {}
        pair = f"{unquote(self._proxy.username)}:{unquote(self._proxy.password or '')}"
        return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def _connect(self) -> http.client.HTTPConnection:
        name, port = self._name, self._port
        if self._proxy is not None:
            name, port = self._proxy.hostname or "", self._proxy.port or 80
        connection: http.client.HTTPConnection
        if self._context is not None:
            connection = http.client.HTTPSConnection(
                name, port, timeout=CONNECT_TIMEOUT_S, context=self._context
            )
            if self._proxy is not None:
                connection.set_tunnel(self._name, self._port or 443, self.proxy_headers())
        else:
            connection = http.client.HTTPConnection(name, port, timeout=CONNECT_TIMEOUT_S)
        connection.connect()
        connection.sock.settimeout(self._read_timeout)
        return connection


class Getter:
    """Reads objects of one bucket. Blocking; usable from several threads; close it.

    Parameters
    ----------
    location
        Bucket, region and endpoint.
    read_timeout
        Seconds without a byte before a connection counts as broken.
    """

    def __init__(
        self,
        clients: S3Clients,
        location: S3Location,
        read_timeout: float = READ_TIMEOUT_S,
        clock: Clock | None = None,
    ) -> None:
        self._clients = clients
        self._clock = clock or SystemClock()
        self._bucket = location.bucket
        self._region = bucket_region(clients, location)
        base = _base_url(clients, S3Location(location.bucket, "", self._region, location.endpoint))
        self._path = urlsplit(base).path
        self._wire = _Wire(clients, base, read_timeout)

    def close(self) -> None:
        """Release connections."""
        self._wire.close()

    @contextmanager
    def open(
        self, item: S3Object, first: int = 0, last: int | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """Yield the answer whose body is an object, or its bytes ``first`` to ``last`` (inclusive).

        Raises
        ------
        BacalhauError
            S3 refuses, or can't be reached; ``retryable`` says whether to try again.
        """
        connection: http.client.HTTPConnection | None = None
        try:
            try:
                connection = self._wire.take()
                answer = self._ask(connection, item, first, last)
            except (OSError, http.client.HTTPException) as error:
                raise self._unreached(item, error, connection is not None) from error
            ranged = first > 0 or last is not None
            if answer.status != (206 if ranged else 200):
                raise self._refused(item, answer)
            yield answer
            # A body that was read to its end leaves the connection fit for the next request.
            if answer.isclosed() and not answer.will_close:
                self._wire.keep(connection)
                connection = None
        finally:
            if connection is not None:
                connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, item: S3Object, first: int, last: int | None
    ) -> http.client.HTTPResponse:
        path = self._path + quote(item.key, safe="/~")
        query = f"versionId={quote(item.version_id, safe='~')}" if item.version_id else ""
        # Asked for each request: credentials that end meanwhile have been renewed by then.
        credentials = self._clients.frozen(f"read {self._name(item)}")
        if credentials is None:
            headers = {"host": self._wire.host}
        else:
            now_s = self._clock.now_ns() / SECOND
            headers = signed_headers(credentials, self._region, self._wire.host, path, query, now_s)
        # Not signed: what is changed on the way can't break the signature.
        headers["Accept-Encoding"] = "identity"
        if item.etag:
            headers["If-Match"] = item.etag
        if first > 0 or last is not None:
            headers["Range"] = f"bytes={first}-{'' if last is None else last}"
        target = self._wire.target(path)
        if target != path:
            headers |= self._wire.proxy_headers()
        connection.putrequest("GET", f"{target}?{query}" if query else target, True, True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse()

    def _unreached(self, item: S3Object, error: Exception, connected: bool) -> BacalhauError:
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"the certificate of {self._wire.origin} is not trusted"
        elif isinstance(error, TimeoutError):
            reason = f"{self._wire.origin} did not answer in time"
        elif not connected:
            reason = f"{self._wire.origin} can't be reached"
        else:
            reason = f"the connection to {self._wire.origin} broke"
        return NetworkFailure(
            f"could not read {self._name(item)}: {reason}",
            component=self._clients.component,
            details={"Service": "S3", "Operation": "GetObject"},
            retryable=not isinstance(error, ssl.SSLCertVerificationError),
        )

    def _name(self, item: S3Object) -> str:
        return f"s3://{self._bucket}/{item.key}"

    def _refused(self, item: S3Object, answer: http.client.HTTPResponse) -> BacalhauError:
        from botocore.exceptions import ClientError

        try:
            code, said = _error_of(answer.read(_MAX_ERROR_BYTES))
        except (OSError, http.client.HTTPException):
            code, said = "", ""
        code = code or str(answer.status)
        request_id = answer.getheader("x-amz-request-id", "")
        response: Any = {
            "Error": {"Code": code, "Message": said},
            "ResponseMetadata": {"HTTPStatusCode": answer.status, "RequestId": request_id},
        }
        signed = self._clients.credentials() is not None
        failure = s3_failure(
            ClientError(response, "GetObject"),
            f"read {self._name(item)}",
            self._clients.component,
            signed=signed,
        )
        failure.retryable = answer.status >= 500 or answer.status == 429 or code == "RequestTimeout"
        return failure


def _error_of(body: bytes) -> tuple[str, str]:
    """Return code and message of S3's error XML; empty when it is none."""
    # Entities could blow up: S3 never sends any.
    if b"<!" in body.replace(b"<![CDATA[", b""):
        return "", ""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return "", ""
    found = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    return found.get("Code", ""), found.get("Message", "")


def bucket_region(clients: S3Clients, location: S3Location) -> str:
    """Return the region to sign for: AWS tells it where the job doesn't."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = clients.client(location)
    if location.region or not str(client.meta.endpoint_url).endswith(".amazonaws.com"):
        return clients.region(location)
    try:
        headers = client.head_bucket(Bucket=location.bucket)["ResponseMetadata"]["HTTPHeaders"]
    except ClientError as error:
        # A refusal says it, too.
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    except BotoCoreError as error:
        raise s3_failure(error, f"find bucket {location.bucket}", clients.component) from error
    return str(headers.get("x-amz-bucket-region") or clients.region(location) or DEFAULT_REGION)


def _base_url(clients: S3Clients, location: S3Location) -> str:
    """Return the URL that keys of the bucket are appended to, as botocore would address it."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        url = clients.client(location).generate_presigned_url(
            "get_object", Params={"Bucket": location.bucket, "Key": "k"}, ExpiresIn=60
        )
    except (BotoCoreError, ClientError) as error:
        raise s3_failure(error, f"address bucket {location.bucket}", clients.component) from error
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('k')}"
