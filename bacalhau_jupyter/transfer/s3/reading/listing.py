"""From a key, prefix or wildcard to the objects it means, and where each goes in a directory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote_plus

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import (
    BacalhauError,
    BadRequest,
    Conflict,
    EngineError,
    NetworkFailure,
    NotFound,
)
from bacalhau_jupyter.transfer.core.files import check_interrupted
from bacalhau_jupyter.transfer.s3.requests.errors import CREDENTIALS, boto_errors, s3_failure
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location
from bacalhau_jupyter.transfer.s3.requests.wire import Wire, parse_xml

_DIRECTORY_TYPE = "application/x-directory"
_MAX_NAME_BYTES = 255
_LIST_RETRIES = 4


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object to download.

    Attributes
    ----------
    etag
        As it was when listed, in quotes: the download takes nothing else.
    sha256
        Base64 checksum that its bytes must have; empty for none.
    """

    key: str
    size: int
    etag: str = ""
    version_id: str = ""
    sha256: str = ""


def is_listing(key: str) -> bool:
    """Whether a key means several objects."""
    return not key or key.endswith(("/", "*"))


def prefix_of(key: str) -> str:
    """Return what is listed for a key: it, without one ``*`` at its end."""
    return key.removesuffix("*")


def find_objects(
    clients: S3Clients,
    location: S3Location,
    *,
    sha256: str = "",
    matches: Callable[[str], bool] | None = None,
    stop: threading.Event | None = None,
) -> list[S3Object]:
    """Return the objects that a location means, directory markers left out. Blocking.

    Parameters
    ----------
    sha256
        Base64 checksum that a single object must have stored.
    matches
        Gets the part of a key after the prefix; applies to listings only.

    Raises
    ------
    BacalhauError
        There is nothing there, it can't be read, or the checksum differs.
    """
    if not is_listing(location.key):
        head = _head(clients, location, sha256)
        if head is not None:
            return [head]
    return _list(clients, location, matches, stop)


def _head(clients: S3Clients, location: S3Location, sha256: str) -> S3Object | None:
    """Look at one object; None when it stands for a directory."""
    request: dict[str, Any] = {"Bucket": location.bucket, "Key": location.key}
    if location.version_id:
        request["VersionId"] = location.version_id
    if sha256:
        request["ChecksumMode"] = "ENABLED"
    try:
        answer = clients.client(location).head_object(**request)
    except boto_errors() as error:
        raise _head_failure(error, clients, location) from error
    if str(answer.get("ContentType") or "").startswith(_DIRECTORY_TYPE):
        return None
    if sha256:
        _compare_stored(answer.get("ChecksumSHA256"), sha256, location, clients.component)
    return S3Object(
        location.key, int(answer["ContentLength"]), str(answer.get("ETag") or ""), location.version_id, sha256
    )


def _head_failure(error: Exception, clients: S3Clients, location: S3Location) -> Exception:
    """HEAD has no body, so S3 can't say what is missing: ask in ways that have one, and keep what they tell."""
    from botocore.exceptions import BotoCoreError, ClientError

    signed = clients.credentials_for(location) is not None
    what = f"version {location.version_id} of {location}" if location.version_id else str(location)
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code"))
        if signed and code in ("400", "403", "Forbidden"):
            credentials_error = _credentials_problem(clients, location)
            code = error.response["Error"]["Code"] = credentials_error or code
        if code in ("400", "404", "NotFound") and location.version_id:
            # S3 refuses an invalid version ID with 400.
            error.response["Error"]["Code"] = "NoSuchVersion"
        if code in ("404", "NotFound"):
            try:
                clients.client(location).head_bucket(Bucket=location.bucket)
            except ClientError as second:
                if second.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    error.response["Error"]["Code"] = "NoSuchBucket"
            except BotoCoreError:
                pass
    return s3_failure(
        error, f"read {what}", clients.component, signed=signed, withheld=clients.withheld(location)
    )


def _credentials_problem(clients: S3Clients, location: S3Location) -> str:
    """Return what a GET says of the credentials (expired, unknown); empty when they are not the matter."""
    from botocore.exceptions import ClientError

    try:
        # One byte: should the object have become readable, it is not read here.
        answer = clients.client(location).get_object(
            Bucket=location.bucket, Key=location.key, Range="bytes=0-0"
        )
        answer["Body"].close()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code"))
        return code if code in CREDENTIALS else ""
    except boto_errors():
        return ""
    return ""


def _compare_stored(stored: object, expected: str, location: S3Location, component: str) -> None:
    if stored == expected:
        return
    reason = f"its checksum is {stored}" if stored else "no SHA-256 checksum is stored with it"
    raise EngineError(
        f"the checksum of {location} differs: the job expects {expected}, {reason}",
        hint="correct ChecksumSHA256 (base64), or leave it out",
        component=component,
    )


def _list(
    clients: S3Clients,
    location: S3Location,
    matches: Callable[[str], bool] | None,
    stop: threading.Event | None,
) -> list[S3Object]:
    prefix = prefix_of(location.key)
    count, objects = 0, []
    for item in _entries(clients, location, prefix, stop):
        count += 1
        key = item.key
        # An object that stands for a directory is named like one, or was asked for itself and said so.
        if key.endswith("/") or (key == prefix and not is_listing(location.key)):
            continue
        if matches is not None and not matches(key[len(prefix) :]):
            continue
        objects.append(item)
    if not objects:
        what = f"bucket {location.bucket}" if not prefix else f"s3://{location.bucket}/{prefix}"
        reason = (
            "there are no objects below it"
            if not count
            else f"none of its {count} objects is selected by Filter"
        )
        if count and matches is None:
            reason = "it holds only directory markers"
        raise NotFound(f"could not read {what}: {reason}", component=clients.component)
    return objects


def _entries(
    clients: S3Clients, location: S3Location, prefix: str, stop: threading.Event | None
) -> Iterator[S3Object]:
    """Yield what is listed, page by page; a page that does not come is asked for again."""
    wire = Wire(clients, location)
    token = ""
    try:
        while True:
            for delay_s in (*islice(backoff(0.2, 5.0), _LIST_RETRIES), None):
                check_interrupted(stop)
                try:
                    items, token = _page(wire, location, prefix, token)
                    break
                except BacalhauError as error:
                    if not error.retryable or delay_s is None:
                        raise
                    (stop or threading.Event()).wait(delay_s)
            yield from items
            if not token:
                return
    finally:
        wire.close()


def _page(wire: Wire, location: S3Location, prefix: str, token: str) -> tuple[list[S3Object], str]:
    """Return up to a thousand objects, and what to ask for the next ones with."""
    # Sorted by name, as the signature wants it. URL encoding is for keys that XML has no letters for.
    parameters = {"continuation-token": token, "encoding-type": "url", "list-type": "2", "prefix": prefix}
    query = "&".join(
        f"{name}={quote(text, safe='~')}" for name, text in parameters.items() if text or name == "prefix"
    )
    action = f"list {location}"
    with wire.get(wire.path, query, {}, action, "ListObjectsV2") as answer:
        try:
            body = answer.read()
        except (OSError, HTTPException) as error:
            raise NetworkFailure(
                f"could not {action}: the connection broke", component=wire.component, retryable=True
            ) from error
    items, token = parse_page(body)
    if items is None:
        raise NetworkFailure(f"could not {action}: the answer is not an S3 listing", component=wire.component)
    return items, token


def parse_page(body: bytes) -> tuple[list[S3Object] | None, str]:
    """Read a ``ListBucketResult``; the objects are None when it is not one.

    The token is empty on the last page.
    """
    root = parse_xml(body)
    if root is None or root.tag.rpartition("}")[2] != "ListBucketResult":
        return None, ""
    space = root.tag[: -len("ListBucketResult")]
    decode = unquote_plus if root.findtext(f"{space}EncodingType") == "url" else str
    key_tag, size_tag, etag_tag = f"{space}Key", f"{space}Size", f"{space}ETag"
    items = []
    try:
        for entry in root.iterfind(f"{space}Contents"):
            fields = {element.tag: element.text or "" for element in entry}
            items.append(S3Object(decode(fields[key_tag]), int(fields[size_tag]), fields.get(etag_tag, "")))
    except (KeyError, ValueError):
        return None, ""
    more = root.findtext(f"{space}IsTruncated") == "true"
    return items, (root.findtext(f"{space}NextContinuationToken") or "") if more else ""


def local_names(location: S3Location, keys: Iterable[str], component: str) -> dict[str, str]:
    """Return where each key goes, relative to the input directory: the key without the prefix's whole directories.

    Raises
    ------
    BadRequest
        A key can't be a path inside the directory (``..``, a NUL, a name that is too long).
    Conflict
        Two keys would be the same file, or one a file and a directory.
    """
    base = prefix_of(location.key).rpartition("/")[0]
    cut = len(base) + 1 if base or location.key.startswith("/") else 0
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    directories: dict[str, str] = {}
    for key in keys:
        name = _safe(key, cut, component)
        names[key] = name
        if name in owners:
            raise _clash(owners[name], key, component)
        owners[name] = key
        parent = name.rpartition("/")[0]
        while parent and parent not in directories:
            directories[parent] = key
            parent = parent.rpartition("/")[0]
    for name in directories.keys() & owners.keys():
        raise _clash(owners[name], directories[name], component)
    return names


def _safe(key: str, cut: int, component: str) -> str:
    parts = [part for part in key[cut:].split("/") if part not in ("", ".")]
    problem = ""
    if not parts:
        problem = "it names no file"
    elif ".." in parts:
        problem = "it leads out of the input directory"
    elif "\0" in key:
        problem = "it holds a NUL"
    elif any(len(part.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES for part in parts):
        problem = "a part of it is longer than 255 bytes"
    if problem:
        raise BadRequest(
            f"the S3 key {key[:200]!r} can't become a file: {problem}",
            hint="leave it out with Filter, or read it as a single object under another key",
            component=component,
        )
    return "/".join(parts)


def _clash(first: str, second: str, component: str) -> Conflict:
    return Conflict(
        f"the S3 keys {first[:200]!r} and {second[:200]!r} would be the same file",
        hint="select one of them with Filter, or give each its own input",
        component=component,
    )
