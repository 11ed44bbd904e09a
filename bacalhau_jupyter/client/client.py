"""`Client`: a connection to one cluster, found the same way from cells, scripts and shells."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.connection.finding import Finder, UsualFinder
from bacalhau_jupyter.client.connection.portal import Portal, shared_portal
from bacalhau_jupyter.client.jobs.bringing.packages import PackageBringer, has_packages
from bacalhau_jupyter.client.jobs.environments import Described, RegisteredEnvironments
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.client.jobs.offers import Offers
from bacalhau_jupyter.client.jobs.sending import Sender, check_size, has_pending
from bacalhau_jupyter.client.jobs.submission import EVENTS, submit_once, suited_to
from bacalhau_jupyter.client.jobs.titles import titled
from bacalhau_jupyter.client.packages.pending import nothing_said
from bacalhau_jupyter.client.results.progress import run_shown, shown_line
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.records.node import NodeInfo, NodeState
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.models.wire.api import PutJobResponse

if TYPE_CHECKING:
    from concurrent.futures import Future

    from bacalhau_jupyter.config.endpoint import Endpoint

T = TypeVar("T")


class Client:
    """Talks to a Bacalhau cluster. Threads may share it; after a fork the child connects anew.

    Without arguments it finds the cluster as everything of ours does: the environment's
    ``BACALHAU_API_HOST/PORT/KEY``, the selected profile, else this user's own node, which is started when it
    is not running.

    Parameters
    ----------
    url
        Address of an API, for example ``http://127.0.0.1:1234``.
    api_key
        Credential for that address.
    context
        Name of a saved profile.
    data_dir
        Repo directory instead of ``BACALHAU_DIR`` or ``~/.bacalhau``.
    start
        Whether to start the node of the repo directory when nothing else is configured.
    portal
        Event loop thread to use instead of the process's shared one.
    finder
        Finds the cluster; the arguments above are then ignored.
    overrides
        Config keys (``Key=Value``) or files that outrank variables and ``config.yaml``, as after ``-c``.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        context: str | None = None,
        data_dir: str | None = None,
        start: bool = True,
        portal: Portal | None = None,
        finder: Finder | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        from bacalhau_jupyter.config.repo import Repo

        self._finder: Finder = finder or UsualFinder(
            Repo.open(data_dir),
            url,
            api_key,
            context,
            starts=start,
            is_repo_given=data_dir is not None,
            overrides=tuple(overrides),
        )
        self._portal = portal or shared_portal()
        self._opening = threading.Lock()
        self._reconnecting = asyncio.Lock()
        self._api: AsyncAPI | None = None
        self._home: Endpoint | None = None
        self._lease: Future[None] | None = None
        self._info: NodeInfo | None = None
        self._job_defaults: Mapping[str, Any] | None = None
        self._environments = RegisteredEnvironments()
        self._sender = Sender()
        self._offers = Offers()
        self._packages = PackageBringer()

    # ---- connection

    @property
    def portal(self) -> Portal:
        """The event loop thread this client uses."""
        if not self._portal.is_usable:
            # After a fork neither the thread nor the connections are ours, and a lock may be held for ever.
            self._portal = shared_portal()
            self._opening, self._reconnecting = threading.Lock(), asyncio.Lock()
            self._api = self._lease = None
        return self._portal

    @property
    def is_connected(self) -> bool:
        """Whether a cluster was found already (it may have gone since)."""
        return self._portal.is_usable and self._api is not None

    @property
    def endpoint(self) -> Endpoint:
        """Where this client is connected to (found, and the node started, on first use)."""
        return self.api().endpoint

    @property
    def info(self) -> NodeInfo:
        """What the connected node says of itself (asked once)."""
        if self._info is None:
            self._info = self.call(lambda api: api.offer())
        return self._info

    def api(self, *, start: bool = True) -> AsyncAPI:
        """Return the raw API, connecting on first use; without ``start`` no node is started for that."""
        portal = self.portal
        with self._opening:
            if self._api is None:
                self._home = self._finder.find(self._home, start=start)
                self._api = AsyncAPI(self._home)
                portal.own(self._api)
            if self._api.endpoint.embedded and self._lease is None:
                self._lease = portal.start(self._hold_lease())
            return self._api

    async def reconnect(self, failed: AsyncAPI | None = None, *, start: bool = True) -> AsyncAPI:
        """Look the cluster up again after the connection was lost (the node may have a new port).

        Parameters
        ----------
        failed
            The API that lost its connection; if it was replaced already, the new one is returned.
        start
            Whether a node that is gone may be started again.
        """
        async with self._reconnecting:
            old = self._api
            if old is not None and failed is not None and old is not failed:
                return old
            lost = old.endpoint if old is not None else None
            endpoint = await asyncio.to_thread(self._finder.find, lost, start=start)
            if old is not None and (old.endpoint.url, old.endpoint.token) == (endpoint.url, endpoint.token):
                return old
            self._home, self._api = endpoint, AsyncAPI(endpoint)
            self._portal.own(self._api)
            if old is not None:
                await old.close()
            return self._api

    def rest(self) -> None:
        """Keep this user's own node alive no longer, until this client is used again."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.cancel()

    async def _hold_lease(self) -> None:
        """Keep the embedded node alive as long as this client lives; come back after a node restart."""
        while True:
            api = self._api
            if api is None:
                return
            with contextlib.suppress(BacalhauError):
                await api.hold_lease()
            self._environments.forget()
            await asyncio.sleep(1)
            # An idle client starts no node; but a node that another program started gets its lease.
            with contextlib.suppress(BacalhauError):
                await self.reconnect(api, start=False)

    def call(self, work: Callable[[AsyncAPI], Awaitable[T]]) -> T:
        """Make one API call from blocking code; a lost connection is looked up again once."""
        self.api()
        return self.portal.run(self.acall(work))

    async def acall(self, work: Callable[[AsyncAPI], Awaitable[T]]) -> T:
        """Do what `call` does, on the portal's loop; ``work`` may run twice."""
        api = self.api_now()
        try:
            return await work(api)
        except NetworkFailure:
            if self._finder.is_fixed:
                raise
            return await work(await self.reconnect(api))

    def api_now(self) -> AsyncAPI:
        """Return the connected API.

        Raises
        ------
        NetworkFailure
            The client is closed.
        """
        if self._api is None:
            raise NetworkFailure("this client is closed", component="Client")
        return self._api

    def close(self) -> None:
        """Give the lease back and close the connections; the next use opens them again."""
        if not self._portal.is_usable:
            return
        self.rest()
        api, self._api = self._api, None
        if api is not None:
            self._portal.run(api.close())

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---- jobs

    def environment(self, described: Described | None = None) -> Described:
        """Return ``Params.Python`` by which a process job sees a Python of this machine; by default this one.

        The node learns of it once per connection; what a spec itself names, it shows to no job.

        Raises
        ------
        BacalhauError
            The node does not take it: the caller is not its own user, or it holds more than a Python.
        """
        from bacalhau_jupyter.client.jobs.interpreters import own_python

        chosen = own_python() if described is None else described
        info = self.info
        return self.call(lambda api: self._environments.reference(api, info, chosen))

    def submit(self, job: JobModel | Mapping[str, Any], *, force: bool = False) -> Job:
        """Submit a job (a model, or a spec as plain dicts); return its handle at once.

        Raises
        ------
        ValidationError
            The spec breaks rules; all of them are in the message.
        BadRequest
            A field of the plain dicts is unknown, or has the wrong type.
        """
        return self.submit_with_warnings(job, force=force)[0]

    def submit_with_warnings(
        self, job: JobModel | Mapping[str, Any], *, force: bool = False
    ) -> tuple[Job, Sequence[str]]:
        """Submit a job; return its handle and the server's warnings."""
        from bacalhau_jupyter.models.jobs.fields import written_job

        model = job if isinstance(job, JobModel) else written_job(job, "the job spec")
        model = self.sent(titled(model))
        answer = self.portal.wait(self.begin_submit(model, force=force))
        return Job(self, answer.job_id), answer.warnings or []

    def sent(self, model: JobModel) -> JobModel:
        """Send the inputs of this machine that a job names, and fetch its packages; return the job with both.

        What takes longer than a moment shows how far it is. An interrupt gives the upload up.

        Raises
        ------
        BadRequest
            An input can't be read, changed meanwhile, or is too large for this cluster.
        """
        if has_packages(model):
            self.api()
            with shown_line() as say:
                model = self._packages.resolved(self, model, say)
        if not has_pending(model):
            return model
        self.api()
        return run_shown(self.portal, lambda progress: self._sent(model, progress))

    async def _sent(self, model: JobModel, progress: Progress = no_progress) -> JobModel:
        if has_packages(model):
            model = await asyncio.to_thread(self._packages.resolved, self, model, nothing_said)
        if not has_pending(model):
            return model
        if self._info is None:
            self._info = await self.acall(lambda api: api.offer())
        info = self._info
        return await self.acall(lambda api: self._sender.resolved(api, info, model, progress))

    def begin_submit(self, model: JobModel, *, force: bool = False) -> Future[PutJobResponse]:
        """Submit a job without waiting for the answer (who is interrupted may want to hear it all the same)."""
        self.api()
        return self.portal.start(self.asubmit(model, force=force))

    async def asubmit(self, model: JobModel, *, force: bool = False) -> PutJobResponse:
        """Submit a job on the portal's loop, once, whatever happens to the connection.

        The same *name* submitted twice is one job; for a job without a name see `submit_once`.
        """
        model = await self._suited(await self._sent(model))
        if model.name:
            return await self.acall(lambda api: api.submit(model, force=force))
        reconnect = None if self._finder.is_fixed else self.reconnect
        return await submit_once(self.api_now(), model, force=force, reconnect=reconnect)

    async def _suited(self, model: JobModel) -> JobModel:
        if self._info is None:
            self._info = await self.acall(lambda api: api.offer())
        if self._job_defaults is None:
            self._job_defaults = await self._asked_job_defaults()
        check_size(self._info, model)
        if EVENTS not in self._info.features:
            await self.acall(lambda api: self._offers.check(api, model))
        return suited_to(self._info, self._job_defaults, model)

    async def _asked_job_defaults(self) -> Mapping[str, Any]:
        """Return the node's ``JobDefaults``; empty where the caller may not read the configuration."""
        try:
            configuration = await self.acall(lambda api: api.agent_config())
        except NetworkFailure:
            raise
        except BacalhauError:
            return {}
        inner = folded(configuration).get("config")
        defaults = folded(inner if isinstance(inner, Mapping) else configuration).get("jobdefaults")
        return defaults if isinstance(defaults, Mapping) else {}

    def job(self, job_id: str, *, namespace: str = "") -> Job:
        """Return the handle of an existing job by name, ID or unique ID prefix.

        Raises
        ------
        NotFound
            The job does not exist.
        """
        stored_job = self.call(lambda api: api.get_job(job_id, namespace=namespace)).job
        return Job(self, stored_job.id)

    def jobs(self, *, limit: int = 10, labels: Sequence[str] = (), reverse: bool = True) -> list[JobModel]:
        """Return jobs, newest first."""
        page = self.call(lambda api: api.list_jobs(limit=limit, labels=labels, reverse=reverse))
        return page.items

    def nodes(self) -> list[NodeState]:
        """Return the cluster's nodes."""
        return self.call(lambda api: api.nodes()).nodes

    def __repr__(self) -> str:
        return f"<Client {self._api.endpoint.url if self._api else 'not connected yet'}>"
