"""Buckets and CIDs as places of data, seen with this node's credentials."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.wire.api import DataEntry, ListDataResponse
from bacalhau_jupyter.node.browse import page_start
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath, parse_path
from bacalhau_jupyter.transfer.s3.requests.errors import s3_failure
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location, missing_package

COMPONENT = "DataBrowser"
_IPFS_TIMEOUT_S = 20.0
"""Seconds that content is searched for; meanwhile the user sees an empty list."""


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
        self._clients = S3Clients(COMPONENT, clock)
        self._enabled = enabled

    async def is_offered(self) -> bool:
        """Whether the node reads buckets and has its own credentials."""
        if not self._enabled() or missing_package():
            return False
        try:
            return await asyncio.to_thread(self._clients.credentials) is not None
        except BacalhauError:
            return False

    async def look(self, uri: str, limit: int, token: str) -> ListDataResponse:
        """Return the buckets, or one page of the folders and objects below a prefix."""
        if missing_package() or not self._enabled():
            raise BadRequest("this node does not read S3 buckets")
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
        arguments: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/", "MaxKeys": limit}
        if token:
            arguments["ContinuationToken"] = token
        answer = self._call(S3Location(bucket, prefix), f"list {uri[:200]}", "list_objects_v2", arguments)
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

    def _call(self, location: S3Location, action: str, method: str, params: dict[str, Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._clients.client(location), method)(**params)
        except (BotoCoreError, ClientError, ValueError) as error:
            raise s3_failure(error, action, COMPONENT) from error


class IpfsPins:
    """What an IPFS node has pinned, and what is in it.

    Parameters
    ----------
    endpoint
        Kubo's RPC multiaddress; empty where the node has none.
    """

    scheme = "ipfs://"
    name = "IPFS"

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    async def is_offered(self) -> bool:
        """Whether an IPFS node is configured."""
        return bool(self._endpoint)

    async def look(self, uri: str, limit: int, token: str) -> ListDataResponse:
        """Return the pinned CIDs, or one page of what a directory holds, sorted by name."""
        if not self._endpoint:
            raise BadRequest("this node reads nothing from IPFS")
        name = uri.removeprefix(self.scheme).strip("/")
        async with IpfsNode(self._endpoint, COMPONENT, read_timeout_s=_IPFS_TIMEOUT_S) as node:
            if name:
                entries = await self._directory(node, parse_path(name, COMPONENT))
            else:
                # Whether a pin is a file is found out when it is opened: asking for each would take minutes.
                entries = [
                    DataEntry(name=cid, uri=f"{self.scheme}{cid}", kind="directory")
                    for cid in await node.pins()
                ]
        first = page_start(token)
        page = entries[first : first + limit]
        after = first + len(page)
        return ListDataResponse(uri=uri, entries=page, next_token=str(after) if after < len(entries) else "")

    async def _directory(self, node: IpfsNode, path: IpfsPath) -> list[DataEntry]:
        stat = await node.stat(path)
        if stat.kind != "directory":
            raise BadRequest(f"{self.scheme}{path} is a file")
        entries = []
        async for directory, link in node.links([stat.cid]):
            # A name that is not valid in a path could not be requested.
            if (
                directory == stat.cid
                and link.kind in ("file", "directory")
                and link.name not in ("", ".", "..")
                and "/" not in link.name
            ):
                place = f"{self.scheme}{path.below(link.name)}"
                entries.append(DataEntry(name=link.name, uri=place, kind=link.kind, size=link.size))
        return sorted(entries, key=lambda entry: (entry.kind != "directory", entry.name))


def _entry(bucket: str, key: str, prefix: str, kind: str, size: int) -> DataEntry:
    name = key.removeprefix(prefix).strip("/") or key
    return DataEntry(name=name, uri=f"s3://{bucket}/{key}", kind=kind, size=size)
