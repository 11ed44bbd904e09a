"""What we ask of an IPFS node (Kubo): as much of its RPC API as inputs and results need.

The node does the work of IPFS: it finds blocks, and checks each against its CID.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.models.errors import NetworkFailure, NotFound
from bacalhau_jupyter.transfer.ipfs.errors import waited_too_long
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath
from bacalhau_jupyter.transfer.ipfs.rpc import CONNECT_TIMEOUT_S, IpfsRpc, chunks_of

_ID_TIMEOUT_S = 15.0
_SYMLINK_MODE = 1 << 27
# A directory with one name that lies in its own CID, so every node has it.
_LAST = "bafyaaeysbufaiakvaaabea3fnzsbqaakaieac"
# UnixFS: raw, directory, file, (metadata,) symlink, sharded directory.
_KINDS = {0: "file", 1: "directory", 2: "file", 4: "link", 5: "directory"}


@dataclass(frozen=True)
class IpfsStat:
    """What a path means.

    Attributes
    ----------
    kind
        ``file``, ``directory`` or ``link``.
    size
        Bytes of a file; 0 for the rest.
    cumulative_size
        Bytes of all blocks below, as the DAG claims: a little more than its files have.
    local
        Whether every block lies on the node; None where that was not asked.
    """

    cid: str
    kind: str
    size: int
    cumulative_size: int
    local: bool | None = None


@dataclass(frozen=True, slots=True)
class IpfsLink:
    """One name in a directory. ``kind`` is ``file``, ``directory``, ``link`` or ``other``."""

    name: str
    cid: str
    kind: str
    size: int
    target: str


class IpfsNode(IpfsRpc):
    """An IPFS node; use it in an `async with` block."""

    async def identity(self) -> str:
        """Return the node's peer ID and software, as it answers ``id``."""
        answer = await self.ask("id", {}, timeout_s=min(_ID_TIMEOUT_S, self.read_timeout_s))
        return " ".join(text for text in (answer.get("AgentVersion"), answer.get("ID")) if text)

    async def stat(self, path: IpfsPath, *, offline: bool = False, locality: bool = False) -> IpfsStat:
        """Say what a path means; finding it takes as long as ``read_timeout_s`` at most.

        Parameters
        ----------
        offline
            Look on the node only.
        locality
            Also find out whether all of it lies on the node.

        Raises
        ------
        NotFound
            The name does not exist below the CID; with ``offline`` also: it is not on the node.
        TimedOut
            No peer had it.
        """
        arguments = {"arg": path.argument, "offline": _flag(offline), "with-local": _flag(locality)}
        answer = await self.ask("files/stat", arguments, path=path, timeout_s=self.read_timeout_s)
        kind = str(answer.get("Type", ""))
        try:
            if int(str(answer.get("Mode") or "0"), 8) & _SYMLINK_MODE:
                kind = "link"
            return IpfsStat(
                cid=str(answer["Hash"]),
                kind=kind,
                size=int(answer.get("Size", 0)) if kind == "file" else 0,
                cumulative_size=int(answer.get("CumulativeSize", 0)),
                local=bool(answer["Local"]) if "Local" in answer else None,
            )
        except (KeyError, ValueError, TypeError) as error:
            raise self.odd("files/stat") from error

    async def pins(self) -> list[str]:
        """Return the CIDs that the node keeps with all they hold."""
        answer = await self.ask("pin/ls", {"type": "recursive"}, timeout_s=self.read_timeout_s)
        keys = answer.get("Keys")
        if not isinstance(keys, dict):
            raise self.odd("pin/ls")
        return sorted(str(cid) for cid in keys)

    async def links(self, cids: Sequence[str]) -> AsyncGenerator[tuple[str, IpfsLink], None]:
        """Yield what is in directories, each with the CID of its directory.

        Raises
        ------
        NetworkFailure
            The connection broke, or the node could not go on.
        """
        # An error in the middle comes in a trailer that no HTTP client here shows: what was asked for last tells.
        arguments = [("arg", cid) for cid in (*cids, _LAST)]
        arguments += [("size", "true"), ("resolve-type", "true"), ("stream", "true")]
        ended = False
        async with self.post("ls", arguments, path=IpfsPath(cids[0])) as answer:
            async for item in self.lines(answer, "ls"):
                try:
                    for directory in item.get("Objects") or []:
                        ended = ended or directory["Hash"] == _LAST
                        for link in directory.get("Links") or []:
                            yield str(directory["Hash"]), _link(link)
                except (KeyError, ValueError, TypeError, AttributeError) as error:
                    raise self.odd("ls") from error
        if not ended:
            raise NetworkFailure(
                f"the IPFS node at {self.endpoint} stopped listing {cids[0]} before its end",
                hint="parts of the content may be missing in the network",
                component=self.component,
                retryable=True,
            )

    async def cat(
        self, path: IpfsPath, start: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file from ``start`` on.

        The bytes are right, but may end early: the reader knows the size.

        Raises
        ------
        NetworkFailure
            The connection broke.
        """
        arguments = [("arg", path.argument), ("offset", str(start))]
        if length is not None:
            arguments.append(("length", str(length)))
        async with self.post("cat", arguments, path=path, plain=True) as answer:
            async for chunk in chunks_of(answer):
                yield chunk

    async def tar(self, path: IpfsPath) -> AsyncGenerator[bytes, None]:
        """Yield a tar of a path; its members start with `IpfsPath.name`. It may end early."""
        arguments = [("arg", path.argument), ("archive", "true")]
        async with self.post("get", arguments, path=path, plain=True) as answer:
            async for chunk in chunks_of(answer):
                yield chunk

    async def add(self, body: AsyncIterator[bytes], boundary: str, root: str) -> str:
        """Add and pin a tree that is sent as a multipart form; return the CID of its root, which has that name.

        As upstream adds results: CIDv0, blocks of 256 KiB. The same bytes have the same CID on every node.
        """
        arguments = {
            "pin": "true",
            "cid-version": "0",
            "chunker": "size-262144",
            "hash": "sha2-256",
            "progress": "false",
        }
        headers = {"Content-Type": f'multipart/form-data; boundary="{boundary}"'}
        cid = ""
        try:
            async with asyncio.timeout(self.read_timeout_s) as deadline:
                sent = _watched(body, deadline, self.read_timeout_s)
                async with self.post("add", list(arguments.items()), data=sent, headers=headers) as answer:
                    # One line for each file and directory; the root's comes last, and not at all after an error.
                    async for item in self.lines(answer, "add"):
                        if item.get("Name") == root:
                            cid = str(item.get("Hash") or "")
        except TimeoutError as error:
            raise waited_too_long(self.endpoint, None, self.read_timeout_s, self.component) from error
        if not cid:
            raise NetworkFailure(
                f"the IPFS node at {self.endpoint} did not take all of the results",
                hint="check its log, and that its disk and its Datastore.StorageMax have free space",
                component=self.component,
                retryable=True,
            )
        return cid

    async def connect(self, address: str) -> None:
        """Let the node connect to a peer (``/ip4/…/tcp/…/p2p/PEER``)."""
        await self.ask("swarm/connect", {"arg": address}, timeout_s=CONNECT_TIMEOUT_S)


async def is_local(node: IpfsNode, path: IpfsPath) -> bool:
    """Whether all of a path lies on the node; the network is not asked."""
    try:
        return bool((await node.stat(path, offline=True, locality=True)).local)
    except NotFound:
        return False


async def _watched(
    body: AsyncIterator[bytes], deadline: asyncio.Timeout, timeout_s: float
) -> AsyncGenerator[bytes, None]:
    """Pass on a body; each piece that is taken gives the node another while."""
    loop = asyncio.get_running_loop()
    async for piece in body:
        deadline.reschedule(loop.time() + timeout_s)
        yield piece
    deadline.reschedule(loop.time() + timeout_s)


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _link(link: Mapping[str, Any]) -> IpfsLink:
    return IpfsLink(
        name=str(link["Name"]),
        cid=str(link["Hash"]),
        kind=_KINDS.get(int(link["Type"]), "other"),
        size=int(link.get("Size") or 0),
        target=str(link.get("Target") or ""),
    )
