"""Results: the list of references, and the archives that lie on this node's disk."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from bacalhau_jupyter.api.answers import answer
from bacalhau_jupyter.api.base import ResultLinks
from bacalhau_jupyter.api.binding import Query
from bacalhau_jupyter.api.jobs import JOBS
from bacalhau_jupyter.api.serving import prove
from bacalhau_jupyter.models.published import RESULTS_PATH
from bacalhau_jupyter.models.spec import SpecConfig
from bacalhau_jupyter.orchestrator.service import Orchestrator


class ResultListRoutes:
    """``/orchestrator/jobs/{id}/results``: references become signed URLs when they are read."""

    def __init__(self, orchestrator: Orchestrator, links: ResultLinks | None) -> None:
        self._orchestrator = orchestrator
        self._links = links

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [web.get(f"{JOBS}/{{id}}/results", self.list, allow_head=False)]

    async def list(self, request: web.Request) -> web.Response:
        """The results of a job."""
        # The caller reached us under this name, so it will reach the archive under it too.
        base_url = f"{request.scheme}://{request.host}"
        sign = partial(self._links.sign, base_url=base_url) if self._links is not None else _unsigned
        listed = await self._orchestrator.results(
            request.match_info["id"], Query(request).text("namespace"), sign
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
        """Stream one archive; byte ranges work."""
        query = Query(request)
        name = request.match_info["name"]
        path = self._links.resolve(name, query.text("expires"), query.text("signature"))
        prove(request)
        return web.FileResponse(
            path,
            headers={
                # No Content-Encoding: official downloaders would unpack the archive in flight, and then again.
                "Content-Type": "application/gzip",
                "Content-Disposition": f'attachment; filename="{path.name}"',
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "private, no-store",
            },
        )


def _unsigned(reference: SpecConfig) -> SpecConfig:
    return reference
