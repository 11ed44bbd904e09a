"""The store of results that nodes elsewhere send: its start, and clean-up of it and of what the compute halves keep."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.roles.halves import Halves
from bacalhau_jupyter.node.upload_service import NodeUploads
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.publishers.keeper import rules_of
from bacalhau_jupyter.publishers.received import ReceivedResults

NO_ADDRESS = (
    "results of publisher s3managed would be sent to the orchestrator, because it has no bucket for them, and no "
    "address is advertised at which other machines reach it (API.Host and API.AdvertisedAddress)"
)


async def start_received(config: Config, repo: Repo, clock: Clock) -> ReceivedResults:
    """Open the store.

    Raises
    ------
    IOFailure
        Its directory can't be used.
    """
    received = ReceivedResults(
        settings.received_dir(config, repo),
        repo.signing_key(),
        config["Publishers.Types.S3Managed.PreSignedURLExpiration"],
        rules_of(config.get),
        min_free=config["Uploads.MinFree"],
        clock=clock,
        free=lambda path: shutil.disk_usage(path).free,
    )
    await received.start()
    return received


def keep_for(received: ReceivedResults, orchestrator: Orchestrator, uploads: NodeUploads) -> None:
    """Let what unfinished jobs need stay, and take nothing for executions that are over."""

    async def needed() -> Sequence[str]:
        return [*await uploads.needed_executions(orchestrator)]

    received.needed = needed
    received.expected = orchestrator.check_expected


class EveryCleaner:
    """Cleans up results of either kind, and the compute halves (``api.services.kept.DiskCleaner``)."""

    def __init__(self, halves: Halves, received: ReceivedResults) -> None:
        self._halves = halves
        self._received = received

    async def clear_results(self, older_than_s: float) -> DiskUsage:
        """Remove published results of finished jobs; return what is gone."""
        return _sum(await self._halves.clear_results(older_than_s), await self._received.clear(older_than_s))

    async def remove_results(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions; return what is gone."""
        return _sum(
            await self._halves.remove_results(execution_ids), await self._received.remove(execution_ids)
        )

    async def clear_cache(self) -> DiskUsage:
        """Remove the inputs that are kept to be shared; return what is gone."""
        return await self._halves.clear_cache()

    async def clear_packages(self) -> DiskUsage:
        """Remove Python packages that no job uses; return what is gone."""
        return await self._halves.clear_packages()


def _sum(first: DiskUsage, second: DiskUsage) -> DiskUsage:
    return DiskUsage(bytes=first.bytes + second.bytes, count=first.count + second.count)
