"""``/orchestrator/jobs``: submit, inspect, stop, delete."""

from __future__ import annotations

import contextlib

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.auditing import DEED, Deed, is_audited
from bacalhau_jupyter.api.http.binding import Query, body, bound, header, plain_body
from bacalhau_jupyter.api.http.callers import principal_of
from bacalhau_jupyter.api.services.kept import DiskCleaner
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.lib.telemetry.trace import CURRENT
from bacalhau_jupyter.models.errors import BacalhauError, ValidationError
from bacalhau_jupyter.models.jobs.fields import unknown_fields, warnings_of
from bacalhau_jupyter.models.jobs.job import META_CLIENT_INSTALLATION, META_CLIENT_INSTANCE, META_TRACE, Job
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.wire.api import (
    DiffJobRequest,
    DiffJobResponse,
    GetJobResponse,
    PutJobRequest,
    RerunJobRequest,
    StopJobRequest,
)
from bacalhau_jupyter.orchestrator.base import ExecutionQuery, HistoryQuery, JobQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator

JOBS = "/api/v1/orchestrator/jobs"
INCLUDED_HISTORY = 100
_CLIENT_META = {
    "X-Bacalhau-InstallationID": META_CLIENT_INSTALLATION,
    "X-Bacalhau-InstanceID": META_CLIENT_INSTANCE,
}


class JobRoutes:
    """Handlers of ``/api/v1/orchestrator/jobs`` (logs and results have separate modules)."""

    def __init__(self, orchestrator: Orchestrator, cleaner: DiskCleaner | None = None) -> None:
        self._orchestrator = orchestrator
        self._cleaner = cleaner

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        return [
            web.put(JOBS, self.submit),
            web.post(JOBS, self.submit),
            web.get(JOBS, self.list, allow_head=False),
            web.put(f"{JOBS}/diff", self.diff),
            web.get(f"{JOBS}/{{id}}", self.get, allow_head=False),
            web.delete(f"{JOBS}/{{id}}", self.stop),
            web.delete(f"{JOBS}/{{id}}/record", self.delete),
            web.put(f"{JOBS}/{{id}}/rerun", self.rerun),
            web.get(f"{JOBS}/{{id}}/history", self.history, allow_head=False),
            web.get(f"{JOBS}/{{id}}/executions", self.executions, allow_head=False),
            web.get(f"{JOBS}/{{id}}/versions", self.versions, allow_head=False),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """Submit or update a job."""
        plain = await plain_body(request)
        order = bound(request, plain, PutJobRequest)
        client = {key: header(request, name) for name, key in _CLIENT_META.items() if name in request.headers}
        if (link := CURRENT.get()) is not None:
            client[META_TRACE] = link.header
        job = _present(order.job)
        request[DEED] = Deed(name=job.name)
        response = await self._orchestrator.submit(
            job, force=order.force, client=client, principal=principal_of(request).name
        )
        request[DEED] = Deed(id=response.job_id, name=job.name)
        unknown = _unknown(plain)
        if unknown:
            response = replace(response, warnings=[*(response.warnings or []), *unknown])
        return answer(request, response)

    async def list(self, request: web.Request) -> web.Response:
        """List jobs page by page; the token of the next page is empty at the end."""
        query = Query(request)
        return answer(
            request,
            await self._orchestrator.list_jobs(
                JobQuery(
                    namespace=query.text("namespace"),
                    labels=query.texts("labels"),
                    limit=query.uint("limit"),
                    next_token=query.text("next_token"),
                    order_by=query.text("order_by"),
                    reverse=query.flag("reverse"),
                )
            ),
        )

    async def get(self, request: web.Request) -> web.Response:
        """One job, with what ``include`` asks for."""
        query = Query(request)
        namespace, version = query.text("namespace"), query.uint("job_version")
        include = {word.strip().lower() for word in query.text("include").split(",")}
        job = await self._orchestrator.get_job(request.match_info["id"], namespace, version)
        history = executions = None
        if "history" in include:
            history = await self._orchestrator.history(
                job.id, HistoryQuery(namespace=job.namespace, version=job.version, limit=INCLUDED_HISTORY)
            )
        if "executions" in include:
            executions = await self._orchestrator.executions(
                job.id, ExecutionQuery(namespace=job.namespace, version=job.version)
            )
        return answer(request, GetJobResponse(job=job, history=history, executions=executions))

    async def stop(self, request: web.Request) -> web.Response:
        """Stop a job; the reason comes in the body, or (WebUI, SDK) in the query."""
        query = Query(request)
        reason = (await body(request, StopJobRequest)).reason or query.text("reason")
        await self._name(request, query.text("namespace"))
        return answer(
            request,
            await self._orchestrator.stop(
                request.match_info["id"],
                query.text("namespace"),
                reason,
                principal=principal_of(request).name,
            ),
        )

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a job that is over, and what this node keeps of its results (an addition of ours).

        The answer says how much room that made.
        """
        namespace = Query(request).text("namespace")
        await self._name(request, namespace)
        executions = await self._orchestrator.delete(
            request.match_info["id"],
            namespace,
            principal=principal_of(request).name,
        )
        # The record goes first: results without a job are cleaned up in time, a job without its results would stay.
        usage = DiskUsage() if self._cleaner is None else await self._cleaner.remove_results(executions)
        return answer(request, usage)

    async def diff(self, request: web.Request) -> web.Response:
        """What submitting would change."""
        plain = await plain_body(request)
        order = bound(request, plain, DiffJobRequest)
        text, warnings = await self._orchestrator.diff(_present(order.job))
        return answer(request, DiffJobResponse(diff=text, warnings=[*warnings, *_unknown(plain)] or None))

    async def rerun(self, request: web.Request) -> web.Response:
        """Run a version again."""
        order = await body(request, RerunJobRequest)
        await self._name(request, order.namespace)
        return answer(
            request,
            await self._orchestrator.rerun(
                request.match_info["id"],
                order.namespace,
                order.job_version,
                order.reason,
                principal=principal_of(request).name,
            ),
        )

    async def history(self, request: web.Request) -> web.Response:
        """A page of a job's events."""
        query = Query(request)
        return answer(
            request,
            await self._orchestrator.history(
                request.match_info["id"],
                HistoryQuery(
                    namespace=query.text("namespace"),
                    version=query.uint("job_version"),
                    all_versions=query.flag("all_job_versions"),
                    since=query.uint("since"),
                    event_type=query.text("event_type"),
                    execution_id=query.text("execution_id"),
                    limit=query.uint("limit"),
                    next_token=query.text("next_token"),
                ),
            ),
        )

    async def executions(self, request: web.Request) -> web.Response:
        query = Query(request)
        return answer(
            request,
            await self._orchestrator.executions(
                request.match_info["id"],
                ExecutionQuery(
                    namespace=query.text("namespace"),
                    version=query.uint("job_version"),
                    all_versions=query.flag("all_job_versions"),
                    order_by=query.text("order_by"),
                    reverse=query.flag("reverse"),
                    limit=query.uint("limit"),
                ),
            ),
        )

    async def versions(self, request: web.Request) -> web.Response:
        """A job's versions, oldest first."""
        query = Query(request)
        return answer(
            request, await self._orchestrator.versions(request.match_info["id"], query.text("namespace"))
        )

    async def _name(self, request: web.Request, namespace: str) -> None:
        """Note which job a request means, where that is written down: what callers write may be a prefix."""
        if is_audited(request):
            # The request itself says what is wrong.
            with contextlib.suppress(BacalhauError):
                job_id, name = await self._orchestrator.job_name(request.match_info["id"], namespace)
                request[DEED] = Deed(id=job_id, name=name)


def _unknown(plain: object) -> list[str]:
    """Return a warning for each field of a body's job that is ignored; what stands beside the job is not judged."""
    job = folded(plain).get("job") if isinstance(plain, dict) else None
    return warnings_of(unknown_fields(job))


def _present(job: Job | None) -> Job:
    if job is None:
        raise ValidationError("empty/nil job")
    return job
