"""Source ``ipfs``: a file or directory by its CID, or a part of one (``CID/sub/path``), through an IPFS node's RPC API.

A directory appears at the target, a file *is* the target, as on official nodes. Each execution gets its own files;
`IpfsSource.identity` says what two inputs may share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.fetch_limits import FetchLimits
from bacalhau_jupyter.plugins.ipfs_node import ConfiguredIpfsNode
from bacalhau_jupyter.plugins.source import Availability, Bid, FetchRequest, InputMount
from bacalhau_jupyter.transfer.ipfs.get import IpfsDownload
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode, is_local
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath, path_of

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

COMPONENT = "IPFSInputSource"
_ENDPOINT = "InputSources.Types.IPFS.Endpoint"


class IpfsSource:
    """Brings content of IPFS; reads ``InputSources.ReadTimeout`` and ``InputSources.MaxRetryCount``.

    ReadTimeout bounds the search for content, and then the time without a single byte.
    """

    types: tuple[str, ...] = ("ipfs",)

    def __init__(self, options: PluginOptions) -> None:
        self._settings = options.settings
        self._configured = ConfiguredIpfsNode(options.settings, _ENDPOINT, COMPONENT)

    async def probe(self) -> Availability:
        """Ask the configured node for its identity; without a node the source is off."""
        try:
            self._limits()
        except ConfigurationError as error:
            return Availability(available=False, problem=error.message)
        return await self._configured.probe()

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
            download = IpfsDownload(node, progress=request.progress, max_retries=self._limits().max_retries)
            await download.fetch(path, target)
        return InputMount(path=target, target=request.input.target, read_only=True)

    async def close(self) -> None:
        return

    def _limits(self) -> FetchLimits:
        return FetchLimits.of(self._settings, COMPONENT)

    def _node(self) -> IpfsNode:
        return self._configured.open(self._limits().read_timeout_s)


def _path(input_source: InputSource) -> IpfsPath:
    return path_of(input_source.source.params, COMPONENT)
