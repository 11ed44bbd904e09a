"""The start of the node's store of uploads."""

from __future__ import annotations

import shutil

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.quotas import quotas_of
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.results import LocalResults
from bacalhau_jupyter.node.upload_service import NodeUploads
from bacalhau_jupyter.uploads.links import UploadLinks
from bacalhau_jupyter.uploads.store import UploadStore


async def start_uploads(config: Config, repo: Repo, clock: Clock, results: LocalResults) -> NodeUploads:
    """Open the store.

    Raises
    ------
    IOFailure
        Its directory can't be used.
    """
    quotas = quotas_of(config)
    directory = settings.uploads_dir(config, repo)
    store = UploadStore(
        directory,
        config["Uploads.Quota"],
        min_free=config["Uploads.MinFree"],
        clock=clock,
        free=lambda path: shutil.disk_usage(path).free,
        limit_of=lambda owner: quotas.of(owner).uploads,
    )
    links = UploadLinks(store, repo.signing_key(), clock, results.archive)
    uploads = NodeUploads(store, links, results.stored, settings.link_address(config).of_api())
    try:
        await store.start()
    except OSError as error:
        raise IOFailure(
            f"the directory {directory} of uploads can't be used: {error.strerror}", component="Node"
        ) from error
    return uploads
