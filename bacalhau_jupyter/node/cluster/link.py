"""The link of an orchestrator while its node runs: opened, changed, closed, and opened again after a restart."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems, sentence
from bacalhau_jupyter.lib.times import ZERO_TIME, rfc3339
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError, Conflict
from bacalhau_jupyter.models.records.cluster import CLOSED, OPENING, TOKEN_KEY, LinkStatus, OpenCluster
from bacalhau_jupyter.node.cluster.opened import Joint, OpenedLink, Opener
from bacalhau_jupyter.node.cluster.plan import COMPONENT, LINK, LinkPlan, opening_reason, plan_of
from bacalhau_jupyter.node.orders import OrderFile
from bacalhau_jupyter.tls.names import own_addresses
from bacalhau_jupyter.transport.base import LinkState

log = logging.getLogger(__name__)

ORDER_FILE = "link.json"
_TASK = "opening the link between nodes"


@dataclass(frozen=True)
class _Now:
    """A link that is open, or should be."""

    plan: LinkPlan
    opened: OpenedLink | None = None


class Link:
    """Opens and closes the link of an orchestrator.

    Parameters
    ----------
    config, repo
        Of the node; the repo keeps what `open` was asked for.
    joint
        Gets the far end.
    opener
        Opens a link.
    embedded
        Whether the node belongs to notebooks: it starts also where its link can't be opened, and tries again.
    clock
        Tells since when a link is away.
    problems
        Where a link that can't be opened is shown.
    """

    def __init__(
        self,
        config: Config,
        repo: Repo,
        joint: Joint,
        opener: Opener,
        *,
        embedded: bool,
        clock: Clock,
        problems: Problems,
    ) -> None:
        self._config = config
        self._repo = repo
        self._joint = joint
        self._opener = opener
        self._embedded = embedded
        self._clock = clock
        self._problems = problems
        self._order = OrderFile(
            repo.orchestrator_dir / ORDER_FILE,
            OpenCluster,
            purpose="how this cluster was opened",
            remedy="`cluster open` writes it anew",
        )
        self._busy = asyncio.Lock()
        self._now: _Now | None = None
        self._trouble = LinkState(is_up=False, reason=CLOSED)
        self._retrying: asyncio.Task[None] | None = None

    # ---- what it is

    @property
    def reason(self) -> str:
        """Why the configuration opens it; empty where it does not."""
        return opening_reason(self._config)

    @property
    def plan(self) -> LinkPlan | None:
        """How it is open, or should be; None while it is closed."""
        return None if self._now is None else self._now.plan

    @property
    def opened(self) -> OpenedLink | None:
        """The open link; None while it is closed or can't be opened."""
        return None if self._now is None else self._now.opened

    @property
    def address(self) -> str:
        """The URL that nodes dial; empty while it is closed."""
        if (plan := self.plan) is None:
            return ""
        port = plan.port if self.opened is None else self.opened.port
        return plan.address(port, next(iter(own_addresses()), ""))

    @property
    def state(self) -> LinkState:
        """How the way to nodes of other processes is."""
        return self._trouble if self.opened is None else self.opened.state

    @property
    def token_file(self) -> Path | None:
        """The file with the token that nodes present; None where there is none, or the configuration has the token."""
        is_kept = self.plan is not None and bool(self.plan.token) and not self._config[TOKEN_KEY]
        return self._repo.cluster_token_file if is_kept else None

    def status(self) -> LinkStatus:
        """Return `state` as it is shown."""
        state = self.state
        since = rfc3339(state.since_ns) if state.since_ns else ZERO_TIME
        return LinkStatus(is_up=state.is_up, reason=state.reason, since=since, place=state.place)

    # ---- what changes it

    async def start(self) -> None:
        """Open it where the configuration, or an earlier `open`, says so.

        Raises
        ------
        BacalhauError
            The configuration asks for a link that can't be opened, and the node is not one of notebooks.
        """
        order = None if self._config[LINK] == "off" else await self._ordered()
        if not self.reason and order is None:
            return
        self._begin()
        if not self._embedded:
            try:
                await self._attempt(order)
            except BacalhauError:
                if self.reason:
                    raise
            else:
                return
        # Notebooks need their node now, with or without its link.
        self._keep_trying(lambda: self._attempt(order))

    async def _ordered(self) -> OpenCluster | None:
        try:
            return await asyncio.to_thread(self._order.read)
        except ConfigurationError as error:
            log.warning("the cluster stays closed: %s", error)
            return None

    async def open(self, order: OpenCluster) -> None:
        """Open it, or open it otherwise; a node that starts again later opens it like this.

        Raises
        ------
        BacalhauError
            It can't be opened like that; it is as it was.
        """
        if self._config[LINK] == "off":
            raise Conflict(
                f"the cluster stays closed: {LINK} is off by {self._config.source(LINK)}",
                hint=f"remove {LINK} there and restart the node",
                component=COMPONENT,
            )
        async with self._busy:
            token = self._config[TOKEN_KEY] or await asyncio.to_thread(self._repo.cluster_token)
            # What is refused must not end the attempts at what was asked for before.
            plan = self._planned(order, token)
            await self._end_retrying()
            before = self._now
            try:
                if before is None or before.opened is None or not _is_same(before.plan, plan, before.opened):
                    await self._shut()
                    await self._open(plan)
                await self._keep_order(order)
            except Exception:
                await self._go_back(before)
                raise

    async def close(self) -> None:
        """Close it; nodes that joined are away then.

        Raises
        ------
        Conflict
            The configuration opens it.
        """
        if self.reason:
            raise Conflict(
                f"the configuration opens this cluster: {self.reason}",
                hint=f"change that, or set {LINK}=off, and restart the node",
                component=COMPONENT,
            )
        async with self._busy:
            await asyncio.to_thread(self._order.forget)
            await self._end_retrying()
            await self._shut()

    async def stop(self) -> None:
        """End it with the node; the next start opens it again."""
        async with self._busy:
            await self._end_retrying()
            await self._shut()

    # ---- how

    def _planned(self, order: OpenCluster | None, token: str) -> LinkPlan:
        return plan_of(self._config, order, token, embedded=self._embedded)

    def _file_token(self) -> str:
        return self._repo.cluster_token() if self._repo.cluster_token_file.exists() else ""

    async def _keep_order(self, order: OpenCluster) -> None:
        if self.opened is not None:
            # Nodes were told this port.
            order = _replaced_port(order, self.opened.port)
            await asyncio.to_thread(self._order.write, order)

    async def _go_back(self, before: _Now | None) -> None:
        """Open it as it was; where that fails now, it is tried again."""
        if self._now is before and before is not None and before.opened is not None:
            return
        await self._shut()
        if before is None:
            return
        plan = before.plan
        if before.opened is not None and before.opened.port:
            plan = dataclasses.replace(plan, port=before.opened.port, may_move=False)
        try:
            await self._open(plan, otherwise=_Now(plan))
        except Exception as error:
            self._fell(error)
            self._problems.failed(_TASK, error)
            self._keep_trying(lambda: self._reopen(plan))

    def _begin(self) -> None:
        """Say that it is being opened, unless there is a reason why it was not."""
        if self._trouble.reason == CLOSED:
            self._trouble = LinkState(is_up=False, reason=OPENING, since_ns=self._clock.now_ns())

    async def _open(self, plan: LinkPlan, *, otherwise: _Now | None = None) -> None:
        self._now = otherwise
        self._begin()
        opened = await self._opener(plan)
        try:
            await self._joint.open(opened.end)
        except BaseException:
            await opened.close()
            raise
        self._now = _Now(plan, opened)
        self._problems.clear(_TASK)
        log.info("nodes of other processes may join at port %d of %s", opened.port, plan.host)

    async def _shut(self) -> None:
        opened, self._now = self.opened, None
        self._trouble = LinkState(is_up=False, reason=CLOSED, since_ns=self._clock.now_ns())
        if opened is not None:
            await self._joint.shut()
            await opened.close()

    async def _attempt(self, order: OpenCluster | None) -> None:
        try:
            plan = self._planned(order, await asyncio.to_thread(self._file_token))
        except Exception as error:
            self._fell(error)
            raise
        await self._reopen(plan)

    async def _reopen(self, plan: LinkPlan) -> None:
        try:
            async with self._busy:
                await self._open(plan, otherwise=_Now(plan))
        except Exception as error:
            self._fell(error)
            raise

    def _fell(self, error: Exception) -> None:
        reason = f"{sentence(error)}; the node tries again, at least once a minute"
        self._trouble = LinkState(is_up=False, reason=reason, since_ns=self._clock.now_ns())

    def _keep_trying(self, attempt: Callable[[], Awaitable[None]]) -> None:
        self._retrying = asyncio.create_task(self._problems.keep(_TASK, attempt), name=_TASK)

    async def _end_retrying(self) -> None:
        task, self._retrying = self._retrying, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        self._problems.clear(_TASK)


def _replaced_port(order: OpenCluster, port: int) -> OpenCluster:
    return OpenCluster(host=order.host, port=port, advertise=order.advertise, encrypt=order.encrypt)


def _is_same(before: LinkPlan, plan: LinkPlan, opened: OpenedLink) -> bool:
    """Whether an open link is as planned already, on whichever port it found."""
    if plan.may_move or plan.port in (0, opened.port):
        plan = dataclasses.replace(plan, port=before.port, may_move=before.may_move)
    return plan == before
