"""Source ``ipfs``: a file or directory by its CID, or a part of one (``CID/sub/path``), through an IPFS node's RPC API.

A directory appears at the target, a file *is* the target, as on official nodes. Each execution gets files of its own;
what two inputs may share is told by `IpfsSource.identity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError, NetworkFailure, TimedOut
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.spec import InputSource
from bacalhau_jupyter.plugins.source import Availability, Bid, FetchRequest, InputMount
from bacalhau_jupyter.transfer.ipfs.errors import MAX_RETRIES, READ_TIMEOUT_S
from bacalhau_jupyter.transfer.ipfs.get import IpfsDownload
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode, is_local
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath, path_of

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

_COMPONENT = "IPFSInputSource"
_ENDPOINT = "InputSources.Types.IPFS.Endpoint"


class IpfsSource:
    """Brings content of IPFS; reads ``InputSources.ReadTimeout`` and ``InputSources.MaxRetryCount``.

    ReadTimeout bounds the search for content, and then the time without a single byte.
    """

    types: tuple[str, ...] = ("ipfs",)

    def __init__(self, options: PluginOptions) -> None:
        self._settings = options.settings

    async def probe(self) -> Availability:
        """Ask the configured node who it is; without one there is no such source."""
        if not self._endpoint():
            return Availability(available=False, problem=f"no IPFS node is configured ({_ENDPOINT})")
        try:
            async with self._node() as node:
                return Availability(available=True, runtime=await node.identity())
        except (NetworkFailure, TimedOut) as error:
            return Availability(available=False, problem=error.message, may_change=True)

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        try:
            _path(input_source)
            async with self._node() as node:
                await node.identity()
        except BacalhauError as error:
            return Bid(accepted=False, reason=f"this node can't bring an input: {error}")
        return Bid(accepted=True)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        """Return the bytes of all blocks, as the DAG says; searching for it takes as long as ReadTimeout at most."""
        path = _path(input_source)
        async with self._node() as node:
            return (await node.stat(path)).cumulative_size

    async def is_local(self, execution: Execution, input_source: InputSource) -> bool:
        """Say whether all of it lies on the IPFS node; the network is not asked."""
        path = _path(input_source)
        async with self._node() as node:
            return await is_local(node, path)

    async def identity(self, execution: Execution, input_source: InputSource) -> str | None:
        """Return the CID with its path: the same bytes for ever."""
        return f"ipfs:{_path(input_source)}"

    async def fetch(self, request: FetchRequest) -> InputMount:
        path = _path(request.input)
        target = request.directory / "content"
        async with self._node() as node:
            retries = self._settings("InputSources.MaxRetryCount")
            download = IpfsDownload(
                node,
                progress=request.progress,
                max_retries=retries if isinstance(retries, int) and retries >= 0 else MAX_RETRIES,
            )
            await download.fetch(path, target)
        return InputMount(path=target, target=request.input.target, read_only=True)

    async def close(self) -> None:
        return

    def _endpoint(self) -> str:
        return str(self._settings(_ENDPOINT) or "").strip()

    def _node(self) -> IpfsNode:
        endpoint = self._endpoint()
        if not endpoint:
            raise ConfigurationError(f"no IPFS node is configured ({_ENDPOINT})", component=_COMPONENT)
        timeout = self._settings("InputSources.ReadTimeout")
        if not isinstance(timeout, int | float) or timeout <= 0:
            timeout = READ_TIMEOUT_S
        return IpfsNode(endpoint, _COMPONENT, read_timeout=timeout)


def _path(input_source: InputSource) -> IpfsPath:
    return path_of(input_source.source.params, _COMPONENT)
