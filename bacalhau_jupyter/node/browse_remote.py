"""Buckets and CIDs as places of data, seen with this node's credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.api import DataEntry, ListDataResponse
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.transfer.s3 import S3Clients, S3Location, missing_package
from bacalhau_jupyter.transfer.s3_errors import s3_failure

_COMPONENT = "DataBrowser"


class S3Buckets:
    """Buckets and what is in them, folder by folder.

    Parameters
    ----------
    enabled
        Whether this node has the ``s3`` source.
    """

    scheme = "s3://"
    name = "S3 buckets"

    def __init__(self, clock: Clock, *, enabled: Callable[[], bool]) -> None:
        self._clients = S3Clients(_COMPONENT, clock)
        self._enabled = enabled

    async def is_offered(self) -> bool:
        """Whether the node reads buckets and has credentials of its own."""
        if not self._enabled() or missing_package():
            return False
        try:
            return await asyncio.to_thread(self._clients.credentials) is not None
        except BacalhauError:
            return False

    async def look(self, uri: str, limit: int, token: str) -> ListDataResponse:
        """Return the buckets, or one page of the folders and objects below a prefix."""
        if missing_package() or not self._enabled():
            raise BadRequest("this node does not read S3 buckets", component=_COMPONENT)
        bucket, _, prefix = uri.removeprefix(self.scheme).partition("/")
        if not bucket:
            return await asyncio.to_thread(self._buckets, uri)
        return await asyncio.to_thread(self._objects, uri, bucket, prefix, limit, token)

    async def close(self) -> None:
        """Release connections."""
        await asyncio.to_thread(self._clients.close)

    def _buckets(self, uri: str) -> ListDataResponse:
        answer = self._call(S3Location("", ""), "list the buckets", "list_buckets", {})
        names = [str(bucket["Name"]) for bucket in answer.get("Buckets") or []]
        return ListDataResponse(
            uri=uri,
            entries=[DataEntry(name=name, uri=f"s3://{name}/", kind="directory") for name in sorted(names)],
        )

    def _objects(self, uri: str, bucket: str, prefix: str, limit: int, token: str) -> ListDataResponse:
        wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/", "MaxKeys": limit}
        if token:
            wanted["ContinuationToken"] = token
        answer = self._call(S3Location(bucket, prefix), f"list {uri[:200]}", "list_objects_v2", wanted)
        entries = [
            _entry(bucket, str(item["Prefix"]), prefix, "directory", 0)
            for item in answer.get("CommonPrefixes") or []
        ]
        entries += [
            _entry(bucket, str(item["Key"]), prefix, "file", int(item.get("Size") or 0))
            for item in answer.get("Contents") or []
            if item["Key"] != prefix
        ]
        more = str(answer.get("NextContinuationToken") or "") if answer.get("IsTruncated") else ""
        return ListDataResponse(uri=uri, entries=entries, next_token=more)

    def _call(self, location: S3Location, action: str, method: str, wanted: dict[str, Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._clients.client(location), method)(**wanted)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise s3_failure(error, action, _COMPONENT) from error


def _entry(bucket: str, key: str, prefix: str, kind: str, size: int) -> DataEntry:
    name = key.removeprefix(prefix).strip("/") or key
    return DataEntry(name=name, uri=f"s3://{bucket}/{key}", kind=kind, size=size)
