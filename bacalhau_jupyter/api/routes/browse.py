"""Looking without fetching: into published results file by file, and at what the node could read inputs from."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from urllib.parse import quote

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.binding import Query
from bacalhau_jupyter.api.http.streaming import STALL_TIMEOUT_S
from bacalhau_jupyter.api.routes.jobs import JOBS
from bacalhau_jupyter.api.services.data import DataBrowser
from bacalhau_jupyter.api.services.kept import DiskCleaner
from bacalhau_jupyter.api.services.results import ResultFiles
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.models.names import from_wire, to_wire
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.published import RESULTS_PATH
from bacalhau_jupyter.models.wire.api import ListResultFilesResponse, ResultFile, ResultListing
from bacalhau_jupyter.orchestrator.base import ExecutionQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator

COMPONENT = "Results"

LIST_LIMIT = 10_000
"""Entries per result that one answer holds."""

DATA_PATH = "/api/v1/compute/data"
DATA_LIMIT = 1000
LIST_TIMEOUT_S = 20.0
"""Seconds that one result may take to be looked into: other results are still shown."""


_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class ResultFileBrowser:
    """``/orchestrator/jobs/{id}/results/files``: the entries of a job's results, and single files with byte ranges."""

    def __init__(self, orchestrator: Orchestrator, files: ResultFiles) -> None:
        self._orchestrator = orchestrator
        self._files = files

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        base = f"{JOBS}/{{id}}/results/files"
        return [
            web.get(base, self.list, allow_head=False),
            web.get(f"{base}/{{execution}}/{{path:(?s:.+)}}", self.download),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """Every result of a job; one that can't be looked into says why."""
        published = await self._published(request, version=Query(request).uint("job_version"))
        listings = await asyncio.gather(*(self._listing(execution) for execution in published))
        return answer(request, ListResultFilesResponse(results=listings))

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Stream one file, or a range of it; always as a download, whatever it is."""
        execution_id, path = request.match_info["execution"], request.match_info["path"]
        published = await self._published(request, all_versions=True)
        results = [item for item in published if item.id == execution_id]
        if not results:
            raise NotFound(f"execution {execution_id[:80]} published no result")
        reference = results[0].published_result
        size = await self._files.size(reference, path)
        start, stop = _range(request.headers.get("Range", ""), size)
        response = web.StreamResponse(
            status=200 if "Range" not in request.headers else 206,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Disposition": _attachment(path),
                "Content-Length": str(stop - start),
                "Accept-Ranges": "bytes",
                "X-Content-Type-Options": "nosniff",
                "Content-Security-Policy": "sandbox; default-src 'none'",
                "Cache-Control": "private, no-store",
            },
        )
        if response.status == 206:
            response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        if request.method == "HEAD":
            return response
        await response.prepare(request)
        async for chunk in self._files.read(reference, path, start, stop):
            async with asyncio.timeout(STALL_TIMEOUT_S):
                await response.write(chunk)
        await response.write_eof()
        return response

    async def _published(
        self, request: web.Request, *, version: int = 0, all_versions: bool = False
    ) -> Sequence[Execution]:
        namespace = Query(request).text("namespace")
        query = ExecutionQuery(namespace=namespace, version=version, all_versions=all_versions)
        listed = await self._orchestrator.executions(request.match_info["id"], query)
        return [item for item in listed.items if item.has_results]

    async def _listing(self, execution: Execution) -> ResultListing:
        entries: Sequence[ResultFile] = []
        problem = ""
        try:
            async with asyncio.timeout(LIST_TIMEOUT_S):
                entries = await self._files.list(execution.published_result)
        except BacalhauError as error:
            problem = error.message
        except TimeoutError:
            problem = f"the result could not be listed within {LIST_TIMEOUT_S:.0f} s"
        return ResultListing(
            execution_id=execution.id,
            node_id=execution.node_id,
            type=execution.published_result.type,
            files=list(entries[:LIST_LIMIT]),
            truncated=len(entries) > LIST_LIMIT,
            problem=problem,
        )


class DataRoutes:
    """``/compute/data``: places that inputs can come from."""

    def __init__(self, data: DataBrowser) -> None:
        self._data = data

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [web.get(DATA_PATH, self.list, allow_head=False)]

    async def list(self, request: web.Request) -> web.Response:
        """One page of what lies at ``uri``."""
        query = Query(request)
        limit = min(query.uint("limit") or DATA_LIMIT, DATA_LIMIT)
        return answer(
            request, await self._data.list(query.text("uri"), limit, query.text("next_token")), escape=False
        )


class CleanUpRoutes:
    """``DELETE /compute/results``, ``inputcache`` and ``packages``: what is kept for convenience makes room."""

    def __init__(self, cleaner: DiskCleaner) -> None:
        self._cleaner = cleaner

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [
            web.delete(RESULTS_PATH, self.results),
            web.delete("/api/v1/compute/inputcache", self.cache),
            web.delete("/api/v1/compute/packages", self.packages),
        ]

    async def results(self, request: web.Request) -> web.Response:
        """Remove results of finished jobs that are ``older_than`` seconds old; answer with what is gone."""
        return answer(request, await self._cleaner.clear_results(Query(request).uint("older_than")))

    async def packages(self, request: web.Request) -> web.Response:
        """Remove Python packages that no job uses; answer with what is gone."""
        return answer(request, await self._cleaner.clear_packages())

    async def cache(self, request: web.Request) -> web.Response:
        """Remove the shared inputs; answer with what is gone."""
        return answer(request, await self._cleaner.clear_cache())


def _attachment(path: str) -> str:
    """Say under which name to save a file (RFC 6266); a name that is not UTF-8 has the form of `models.names`."""
    return f"attachment; filename*=UTF-8''{quote(to_wire(from_wire(path.rpartition('/')[2])), safe='')}"


def _range(text: str, size: int) -> tuple[int, int]:
    """Return the first byte and the one after the last of a ``Range`` header; the whole file without one."""
    if not text:
        return 0, size
    match = _RANGE.fullmatch(text.strip())
    if match is None or match[0] == "bytes=-":
        raise BadRequest(f"the range {text[:64]!r} is not one of bytes=A-B", status=416)
    first, last = match[1][:19], match[2][:19]
    start, stop = (int(first), int(last) + 1 if last else size) if first else (max(0, size - int(last)), size)
    stop = min(stop, size)
    if start >= stop:
        raise BadRequest(f"the range {text[:64]} lies outside of the file's {size} bytes", status=416)
    return start, stop
