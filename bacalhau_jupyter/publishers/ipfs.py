"""Publisher ``ipfs``: the whole result directory is added to an IPFS node and pinned there; the result is its CID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import (
    BacalhauError,
    IOFailure,
)
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.ipfs_node import ConfiguredIpfsNode
from bacalhau_jupyter.plugins.publisher import Availability, Bid, PublishRequest
from bacalhau_jupyter.transfer.ipfs.add import add_directory

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

COMPONENT = "IPFSPublisher"
_ENDPOINT = "Publishers.Types.IPFS.Endpoint"


class IpfsPublisher:
    """Adds results; the same results have the same CID, so doing it again changes nothing."""

    type = "ipfs"

    def __init__(self, options: PluginOptions) -> None:
        self._configured = ConfiguredIpfsNode(options.settings, _ENDPOINT, COMPONENT)

    async def probe(self) -> Availability:
        """Ask the configured node for its identity; without a node the publisher is off."""
        return await self._configured.probe()

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        try:
            async with self._configured.open() as node:
                await node.identity()
        except BacalhauError as error:
            return Bid(accepted=False, reason=f"this node can't publish to IPFS: {error}")
        return Bid(accepted=True)

    async def publish(self, request: PublishRequest) -> SpecConfig:
        try:
            async with self._configured.open() as node:
                cid = await add_directory(node, request.gathering(COMPONENT), progress=request.progress)
        except IOFailure as error:
            raise IOFailure(
                f"the results could not be published: {error.message}", hint=error.hint
            ) from error
        return SpecConfig(type="ipfs", params={"CID": cid})

    async def close(self) -> None:
        return
