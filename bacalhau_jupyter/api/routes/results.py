"""Results: the list of references, and the archives that lie on this node's disk."""

from __future__ import annotations

import asyncio
from functools import partial

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.auditing import DEED, Deed
from bacalhau_jupyter.api.http.binding import Query
from bacalhau_jupyter.api.http.receiving import IDLE_S, chunks_of
from bacalhau_jupyter.api.http.serving import prove
from bacalhau_jupyter.api.http.streaming import Content, stream
from bacalhau_jupyter.api.routes.jobs import JOBS
from bacalhau_jupyter.api.services.results import ResultLinks, ResultReceiver
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.published import LOCAL_FILE, RESULTS_PATH, without_file
from bacalhau_jupyter.orchestrator.base import ResultSigner
from bacalhau_jupyter.orchestrator.service import Orchestrator


class ResultListRoutes:
    """``/orchestrator/jobs/{id}/results``: references become signed URLs when they are read."""

    def __init__(self, orchestrator: Orchestrator, links: ResultLinks | None, access: Access) -> None:
        self._orchestrator = orchestrator
        self._links = links
        self._access = access

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [web.get(f"{JOBS}/{{id}}/results", self.list, allow_head=False)]

    async def list(self, request: web.Request) -> web.Response:
        """List the published results of a job, as links where the node can sign them.

        With ``local=true`` a program of the node's own user is shown where archives lie on this machine.
        """
        query = Query(request)
        # The caller reached us under this name, so it will reach the archive under it too.
        base_url = f"{request.scheme}://{request.host}"
        sign: ResultSigner = partial(_without_file, _unsigned)
        if self._links is not None:
            sign = partial(_without_file, partial(self._links.sign, base_url=base_url))
        if query.flag("local") and await self._access.is_trusted(request.headers, request.transport):
            sign = partial(_with_file, sign, self._links)
        listed = await self._orchestrator.results(
            request.match_info["id"], query.text("namespace"), sign, query.uint("job_version")
        )
        return answer(request, listed, escape=False)


class ResultFileRoutes:
    """The archives: the signature in the URL is the credential, because downloaders send no header."""

    def __init__(self, links: ResultLinks) -> None:
        self._links = links

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [web.get(f"{RESULTS_PATH}/{{name}}", self.download, allow_head=False)]

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Stream one archive, which may have to be put together for it; byte ranges work."""
        query = Query(request)
        name = request.match_info["name"]
        path = self._links.resolve(name, query.text("expires"), query.text("signature"))
        prove(request)
        headers = {
            # No Content-Encoding: official downloaders would unpack the archive in flight, and then again.
            "Content-Type": "application/gzip",
            "Content-Disposition": f'attachment; filename="{path.name}"',
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "private, no-store",
        }
        archive = await asyncio.to_thread(self._links.opened, path)
        if archive is None:
            return web.FileResponse(path, headers=headers)
        try:
            info = await asyncio.to_thread(path.stat)
            content = Content(
                archive.length, archive.read, f"{info.st_ino:x}-{info.st_mtime_ns:x}", info.st_mtime
            )
            return await stream(request, content, headers)
        finally:
            await archive.close()


class ResultUploadRoutes:
    """Archives that nodes elsewhere send: the signature in the URL is the credential, as it is in a bucket.

    Parameters
    ----------
    receiver
        Keeps them.
    idle_s
        Seconds for which a sender may send nothing.
    """

    def __init__(self, receiver: ResultReceiver, idle_s: float = IDLE_S) -> None:
        self._receiver = receiver
        self._idle_s = idle_s

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [web.put(f"{RESULTS_PATH}/{{name}}", self.upload)]

    async def upload(self, request: web.Request) -> web.Response:
        """Take the archive of one execution, which is sent whole, with its length before its first byte."""
        query = Query(request)
        execution_id = self._receiver.admit(
            request.match_info["name"], query.text("expires"), query.text("signature")
        )
        prove(request)
        request[DEED] = Deed(id=execution_id)
        if request.content_length is None:
            raise BadRequest("an archive is sent with its length (Content-Length)", status=411)
        if "Content-Encoding" in request.headers or "Content-Range" in request.headers:
            raise BadRequest("an archive is sent as it is and whole: no encoding, no range", status=415)
        chunks = chunks_of(request, hint="send it again, whole", idle_s=self._idle_s)
        await self._receiver.take(execution_id, request.content_length, chunks)
        return web.Response()


def _unsigned(reference: SpecConfig) -> SpecConfig:
    return reference


def _without_file(sign: ResultSigner, reference: SpecConfig) -> SpecConfig:
    """Sign; a node that reports a file makes no reader open it on his own disk."""
    return without_file(sign(reference))


def _with_file(sign: ResultSigner, links: ResultLinks | None, reference: SpecConfig) -> SpecConfig:
    signed = sign(reference)
    file = links.file(reference) if links is not None else None
    if file is None:
        return signed
    return SpecConfig(type=signed.type, params={**signed.params, LOCAL_FILE: str(file)})
