"""Publisher ``ipfs``: the whole result directory is added to an IPFS node and pinned there; the result is its CID."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import (
    BacalhauError,
    ConfigurationError,
    IOFailure,
    NetworkFailure,
    TimedOut,
)
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.spec import SpecConfig
from bacalhau_jupyter.plugins.publisher import Availability, Bid, PublishRequest
from bacalhau_jupyter.transfer.ipfs.add import add_directory
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

_COMPONENT = "IPFSPublisher"
_ENDPOINT = "Publishers.Types.IPFS.Endpoint"


class IpfsPublisher:
    """Adds results; the same results have the same CID, so doing it again changes nothing."""

    type = "ipfs"

    def __init__(self, options: PluginOptions) -> None:
        self._settings = options.settings

    async def probe(self) -> Availability:
        """Ask the configured node who it is; without one there is no such publisher."""
        if not self._endpoint():
            return Availability(available=False, problem=f"no IPFS node is configured ({_ENDPOINT})")
        try:
            async with self._node() as node:
                return Availability(available=True, runtime=await node.identity())
        except (NetworkFailure, TimedOut) as error:
            return Availability(available=False, problem=error.message, may_change=True)

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        try:
            async with self._node() as node:
                await node.identity()
        except BacalhauError as error:
            return Bid(accepted=False, reason=f"this node can't publish to IPFS: {error}")
        return Bid(accepted=True)

    async def publish(self, request: PublishRequest) -> SpecConfig:
        try:
            async with self._node() as node:
                cid = await add_directory(node, request.gathering(_COMPONENT), progress=request.progress)
        except IOFailure as error:
            raise IOFailure(
                f"the results could not be published: {error.message}", hint=error.hint, component=_COMPONENT
            ) from error
        return SpecConfig(type="ipfs", params={"CID": cid})

    async def close(self) -> None:
        return

    def _endpoint(self) -> str:
        return str(self._settings(_ENDPOINT) or "").strip()

    def _node(self) -> IpfsNode:
        endpoint = self._endpoint()
        if not endpoint:
            raise ConfigurationError(f"no IPFS node is configured ({_ENDPOINT})", component=_COMPONENT)
        return IpfsNode(endpoint, _COMPONENT)
