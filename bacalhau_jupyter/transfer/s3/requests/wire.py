"""Signed GETs to one bucket, with as little work for each as possible: an input may be ten thousand small files.

boto3 spends milliseconds on each request; this takes a third of one. Connections are kept and shared by threads.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

from bacalhau_jupyter.lib.clock import SECOND, Clock, SystemClock
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.transfer.s3.requests.access import region_of
from bacalhau_jupyter.transfer.s3.requests.errors import READ_TIMEOUT_S, boto_errors, s3_failure
from bacalhau_jupyter.transfer.s3.requests.http import Answer, Connections, ask
from bacalhau_jupyter.transfer.s3.requests.location import DEFAULT_REGION, S3Clients, S3Location
from bacalhau_jupyter.transfer.s3.requests.sign import signed_headers

_MAX_ERROR_BYTES = 64 * 1024


class Wire:
    """Asks one bucket. Blocking; usable from several threads; close it.

    Parameters
    ----------
    location
        Bucket, region and endpoint; AWS is asked for the region where it is missing.
    read_timeout_s
        Seconds without a byte before a connection counts as broken.

    Attributes
    ----------
    path
        Of the bucket, with a slash at its end.
    component
        Who asks, for error messages.
    """

    def __init__(
        self,
        clients: S3Clients,
        location: S3Location,
        read_timeout_s: float = READ_TIMEOUT_S,
        clock: Clock | None = None,
    ) -> None:
        self.component = clients.component
        self._clients = clients
        self._clock = clock or SystemClock()
        self._region = bucket_region(clients, location)
        base = _base_url(clients, S3Location(location.bucket, "", self._region, location.endpoint))
        self._location = location
        self.path = urlsplit(base).path
        self._connections = Connections(clients, base, read_timeout_s, clients.reach(location))

    def close(self) -> None:
        """Release connections."""
        self._connections.close()

    @contextmanager
    def get(
        self, path: str, query: str, headers: Mapping[str, str], action: str, operation: str
    ) -> Iterator[Answer]:
        """Yield the answer to a GET, whose status is 200 or, for a range, 206.

        Parameters
        ----------
        path
            Percent-encoded.
        query
            Canonical: encoded, sorted by name, without ``?``.
        headers
            Sent unsigned, so that who changes them on the way can't break the signature.
        action, operation
            For the error message: ``read s3://bucket/key``, ``GetObject``.

        Raises
        ------
        BacalhauError
            S3 refuses, or can't be reached; ``retryable`` says whether to try again.
        """
        connection: http.client.HTTPConnection | None = None
        answer: Answer | None = None
        try:
            try:
                connection = self._connections.take()
                answer = self._ask(connection, path, query, headers, action)
            except (OSError, http.client.HTTPException) as error:
                raise self._unreached(error, connection is not None, action, operation) from error
            if answer.status != (206 if "Range" in headers else 200):
                raise self._refused(answer, action, operation)
            yield answer
            # A body that was read to its end leaves the connection fit for the next request.
            if answer.isclosed() and not answer.will_close:
                self._connections.keep(connection)
                connection = None
        finally:
            if connection is not None:
                if answer is not None:
                    answer.close()
                connection.close()

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        query: str,
        more: Mapping[str, str],
        action: str,
    ) -> Answer:
        host = self._connections.host
        # Asked for each request: credentials that end meanwhile have been renewed by then.
        credentials = self._clients.frozen(action, self._location)
        if credentials is None:
            headers = {"host": host}
        else:
            now_s = self._clock.now_ns() / SECOND
            headers = signed_headers(credentials, self._region, host, path, query, now_s)
        target = self._connections.target(path)
        if target != path:
            headers |= self._connections.proxy_headers()
        headers |= {"Accept-Encoding": "identity", **more}
        return ask(connection, f"{target}?{query}" if query else target, headers)

    def _unreached(self, error: Exception, connected: bool, action: str, operation: str) -> BacalhauError:
        origin = self._connections.origin
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"the certificate of {origin} is not trusted"
        elif isinstance(error, TimeoutError):
            reason = f"{origin} did not answer in time"
        elif not connected:
            reason = f"{origin} can't be reached"
        else:
            reason = f"the connection to {origin} broke"
        return NetworkFailure(
            f"could not {action}: {reason}",
            component=self._clients.component,
            details={"Service": "S3", "Operation": operation},
            retryable=not isinstance(error, ssl.SSLCertVerificationError),
        )

    def _refused(self, answer: Answer, action: str, operation: str) -> BacalhauError:
        from botocore.exceptions import ClientError

        try:
            code, said = error_of(answer.read(_MAX_ERROR_BYTES))
        except (OSError, http.client.HTTPException):
            code, said = "", ""
        code = code or str(answer.status)
        request_id = answer.fields.get("x-amz-request-id", "")
        response: Any = {
            "Error": {"Code": code, "Message": said},
            "ResponseMetadata": {"HTTPStatusCode": answer.status, "RequestId": request_id},
        }
        failure = s3_failure(
            ClientError(response, operation),
            action,
            self._clients.component,
            signed=self._clients.credentials_for(self._location) is not None,
            withheld=self._clients.withheld(self._location),
        )
        failure.retryable = answer.status >= 500 or answer.status == 429 or code == "RequestTimeout"
        return failure


def parse_xml(body: bytes) -> ElementTree.Element | None:
    """Parse what an S3 server sent; None when it is no XML, or could blow up."""
    # Entities could: S3 never sends any.
    if b"<!" in body.replace(b"<![CDATA[", b""):
        return None
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return None


def error_of(body: bytes) -> tuple[str, str]:
    """Return code and message of S3's error XML; empty when it is not such XML."""
    root = parse_xml(body)
    if root is None:
        return "", ""
    fields = {element.tag.rpartition("}")[2]: element.text or "" for element in root.iter()}
    return fields.get("Code", ""), fields.get("Message", "")


def bucket_region(clients: S3Clients, location: S3Location) -> str:
    """Return the region to sign for: AWS reports it if the job doesn't name it."""
    from botocore.exceptions import ClientError

    client = clients.client(location)
    is_named = location.region or region_of(location.endpoint)
    if is_named or not str(client.meta.endpoint_url).endswith(".amazonaws.com"):
        return clients.region(location)
    cached = clients.regions.get(location.bucket)
    if cached:
        return cached
    try:
        headers = client.head_bucket(Bucket=location.bucket)["ResponseMetadata"]["HTTPHeaders"]
    except ClientError as error:
        # A refusal says it, too.
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    except boto_errors() as error:
        raise s3_failure(error, f"find bucket {location.bucket}", clients.component) from error
    region = str(headers.get("x-amz-bucket-region") or "")
    if region:
        clients.regions[location.bucket] = region
    return region or clients.region(location) or DEFAULT_REGION


def _base_url(clients: S3Clients, location: S3Location) -> str:
    """Return the URL that keys of the bucket are appended to, as botocore would address it."""
    try:
        url = clients.client(location).generate_presigned_url(
            "get_object", Params={"Bucket": location.bucket, "Key": "k"}, ExpiresIn=60
        )
    except boto_errors() as error:
        raise s3_failure(error, f"address bucket {location.bucket}", clients.component) from error
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('k')}"
