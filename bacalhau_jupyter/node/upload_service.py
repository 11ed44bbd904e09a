"""The node's part in uploads: the API's requests as work of the store, and what links mean to the compute role."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.published import RESULTS_PATH
from bacalhau_jupyter.models.records.uploads import CONTENT_PATH, BeginUpload, UploadState
from bacalhau_jupyter.node.addresses import LinkAddress
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.plugins.options import StoredFile
from bacalhau_jupyter.transfer.core.filenames import name_from_url
from bacalhau_jupyter.uploads.drafts import Draft
from bacalhau_jupyter.uploads.links import UploadLinks
from bacalhau_jupyter.uploads.orders import Kept
from bacalhau_jupyter.uploads.store import UploadStore

Archive = Callable[[str], Path | None]
"""Returns the local result behind a link that this node signed; None for any other URL."""


class NodeUploads:
    """Takes uploads (``api.services.uploads.Uploads``), and finds the files behind this node's own links.

    Parameters
    ----------
    store, links
        Keep contents, and sign links to them.
    archive
        Finds local results behind links.
    address
        Where links lead, if not to where the caller addressed us.
    """

    def __init__(
        self, store: UploadStore, links: UploadLinks, archive: Archive, address: LinkAddress
    ) -> None:
        self.links = links
        self.store = store
        self._archive = archive
        self._address = address

    # ---- api.services.uploads.Uploads

    async def begin(self, owner: str, order: BeginUpload, local: bool, base_url: str) -> UploadState:
        """Return where to upload to."""
        begun = await self.store.begin(owner, replace(order, local=local))
        return self._kept(begun, base_url) if isinstance(begun, Kept) else await self._state(begun)

    async def state(self, owner: str, upload_id: str) -> UploadState:
        """Return how far an upload is."""
        return await self._state(self.store.draft(owner, upload_id))

    async def append(
        self, owner: str, upload_id: str, start: int, chunks: AsyncIterator[bytes], base_url: str
    ) -> UploadState:
        """Take bytes from ``start`` on; the last ones complete the upload."""
        draft = self.store.draft(owner, upload_id)
        offset = await self.store.append(draft, start, chunks)
        if offset != draft.size:
            return UploadState(upload_id=draft.id, offset=offset, size=draft.size)
        return self._kept(await self.store.finish(draft), base_url)

    async def complete(self, owner: str, upload_id: str, base_url: str) -> UploadState:
        """Keep what lies on the disk."""
        return self._kept(await self.store.finish(self.store.draft(owner, upload_id)), base_url)

    async def drop(self, owner: str, upload_id: str) -> None:
        """Give an upload up."""
        await self.store.drop(self.store.draft(owner, upload_id))

    async def clear(self) -> DiskUsage:
        """Remove what no job refers to; return what is gone."""
        return await self.store.clear()

    async def resolve(self, sha256: str, name: str, expires: str, signature: str) -> Path:
        """Return the content that a signed URL means."""
        return await asyncio.to_thread(self.links.resolve, sha256, name, expires, signature)

    async def _state(self, draft: Draft) -> UploadState:
        file = str(self.store.file(draft)) if draft.local else ""
        offset = await self.store.offset(draft)
        return UploadState(upload_id=draft.id, offset=offset, size=draft.size, file=file)

    def _kept(self, kept: Kept, base_url: str) -> UploadState:
        url = self.links.url(kept.sha256, kept.name, self._address.applied_to(base_url))
        return UploadState(offset=kept.size, size=kept.size, sha256=kept.sha256, url=url)

    # ---- the node's roles

    def renewed(self, job: Job, again: bool) -> Job:
        """Return a job whose links live long enough (``orchestrator.submitting.submission.LinkRenewal``)."""
        return self.links.renewed(job, again)

    def stored(self, url: str) -> StoredFile | None:
        """Return the file behind a link that this node signed (``plugins.options.PluginOptions.stored``)."""
        content = self.links.content(url)
        if content is not None:
            return StoredFile(content, name_from_url(url), f"upload {content.parent.name}", is_content=True)
        archive = self._archive(url)
        if archive is None:
            return None
        info = archive.stat()
        identity = f"result {archive.name} {info.st_ino} {info.st_size} {info.st_mtime_ns}"
        return StoredFile(archive, archive.name, identity)

    def keep_for(self, orchestrator: Orchestrator) -> None:
        """Let what unfinished jobs refer to stay, and let what finished ones refer to go last."""

        async def contents() -> Collection[str]:
            return self.links.referred(await orchestrator.unfinished_jobs((CONTENT_PATH,)))[0]

        async def repeatable() -> Collection[str]:
            return self.links.referred(await orchestrator.finished_jobs((CONTENT_PATH,)))[0]

        self.store.referred = contents
        self.store.repeatable = repeatable

    async def needed_executions(self, orchestrator: Orchestrator) -> Collection[str]:
        """Return the IDs of executions whose results stay: their jobs are not over, or such jobs refer to them."""
        jobs = await orchestrator.unfinished_jobs((RESULTS_PATH,))
        return {*await orchestrator.unfinished_executions(), *self.links.referred(jobs)[1]}
