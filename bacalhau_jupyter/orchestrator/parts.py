"""The parts of an orchestrator, wired together: who stores, looks at jobs, speaks with nodes, and hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.lib.ids import IdSource
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.telemetry.base import Telemetry
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.orchestrator.announcing import Commits, PassingNews
from bacalhau_jupyter.orchestrator.dispatcher import Dispatcher
from bacalhau_jupyter.orchestrator.evaluating.evaluations import Evaluations
from bacalhau_jupyter.orchestrator.evaluating.received import ReportReceiver
from bacalhau_jupyter.orchestrator.explaining.explainer import Explainer
from bacalhau_jupyter.orchestrator.logs import JobWatch, LogReader
from bacalhau_jupyter.orchestrator.membership.decisions import Decisions
from bacalhau_jupyter.orchestrator.membership.keeping import Members, NodeListener
from bacalhau_jupyter.orchestrator.membership.nodes import Nodes
from bacalhau_jupyter.orchestrator.membership.shown import ShownNodes
from bacalhau_jupyter.orchestrator.membership.silence import SilenceWatch
from bacalhau_jupyter.orchestrator.peers.offers import FarAddress
from bacalhau_jupyter.orchestrator.peers.register import Register
from bacalhau_jupyter.orchestrator.peers.shaping import Shaping
from bacalhau_jupyter.orchestrator.scheduler.telling import JobTeller
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.orchestrator.store.transaction import Changes
from bacalhau_jupyter.orchestrator.stream import EventStream
from bacalhau_jupyter.orchestrator.submitting.requests import JobRequests
from bacalhau_jupyter.orchestrator.submitting.submission import LinkRenewal
from bacalhau_jupyter.orchestrator.uploads import UploadProblem, Uploads, UploadSigner
from bacalhau_jupyter.transport.base import OrchestratorTransport


@dataclass(frozen=True)
class Surroundings:
    """What an orchestrator gets from its node; `service.Orchestrator` says what each is."""

    clock: Clock
    ids: IdSource
    problems: Problems
    telemetry: Telemetry
    upload_signer: UploadSigner | None
    upload_problem: UploadProblem
    upload_signer_here: UploadSigner | None
    renew_links: LinkRenewal
    own_info: Callable[[], NodeInfo] | None
    far_address: FarAddress


class Parts:
    """The parts of an orchestrator.

    Attributes
    ----------
    store, stream, news
        What is stored, and who hears of that and of what is not.
    evaluations, requests, received
        Looks at jobs; changes of jobs by people; changes by nodes.
    register, nodes, silence, decisions, shown
        The nodes; what they ask, what they leave out, what people decide about them and see of them.
    dispatcher, uploads, logs, explainer
        Messages to nodes, places for results, output, and why a job is where it is.
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        database: Database,
        transport: OrchestratorTransport,
        around: Surroundings,
    ) -> None:
        clock, own_info = around.clock, around.own_info
        commits = Commits()
        self.store = Store(database, clock, commits.announce)
        self.stream = EventStream(self.store, settings.stream_queue)
        self.news = PassingNews(self.stream, clock)
        self.register = Register(clock)
        self.uploads = Uploads(
            self.store, around.upload_signer, around.upload_problem, around.upload_signer_here
        )
        shaping = Shaping(self.register, self.uploads, transport.way_to, around.far_address)
        teller = JobTeller(around.telemetry, settings.node_id)
        self.evaluations = Evaluations(
            settings,
            self.store,
            clock=clock,
            ids=around.ids,
            teller=teller,
            problems=around.problems,
            address_problem=shaping.address_problem,
        )
        self.dispatcher = Dispatcher(
            self.store, transport, f"orchestrator-{settings.node_id}", around.problems, shaping.shaped
        )
        members = Members(
            self.store,
            self.dispatcher,
            self.register,
            clock=clock,
            settings=settings,
            listener=NodeListener(
                self.evaluations.node_joined,
                self.evaluations.node_freed,
                self.evaluations.node_gone,
                self.news.node_changed,
            ),
        )
        self.nodes = Nodes(members, self.uploads, transport.way_to)
        self.silence = SilenceWatch(members, around.problems)
        self.decisions = Decisions(members, transport.cut)
        self.shown = ShownNodes(self.register, own_info, clock.now_ns())
        self.received = ReportReceiver(self.evaluations, self.nodes.processed, teller=teller, clock=clock)

        def check_uploads(job: Job) -> None:
            # A node of this process, or of another one on this machine, needs no address for it.
            if own_info is not None and not any(node.way.is_here for node in self.register.views()):
                self.uploads.check(job)

        self.requests = JobRequests(
            settings,
            self.store,
            self.evaluations,
            self.register,
            ids=around.ids,
            check_uploads=check_uploads,
            renew_links=around.renew_links,
        )
        self.explainer = Explainer(
            self.store,
            self.register,
            clock,
            settings.quotas,
            address_problem=shaping.address_problem,
            ahead_of=self.evaluations.waiting.ahead_of,
        )
        watch = JobWatch()
        self.logs = LogReader(self.store, transport, watch, shaping.is_official)

        def committed(changes: Changes) -> None:
            self.stream.publish(changes.events)
            for event in changes.events:
                watch.changed(event.job)
            self.dispatcher.add(changes.messages)
            for job in changes.ended:
                teller.ended(job)
            self.evaluations.committed(changes)

        commits.listen(committed)
