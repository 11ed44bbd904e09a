"""The explanation of a job: a pure function of the circumstances."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.job import Job, JobStateType, JobType
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import DesiredStateType, Execution, ExecutionStateType
from bacalhau_jupyter.models.records.explanation import (
    Explanation,
    NodeVerdict,
    Verdict,
)
from bacalhau_jupyter.models.records.outcome import (
    ERROR,
    Outcome,
    deciding,
    recorded_exit_code,
    recorded_outcome,
    refusals_in,
    stopped_words,
)
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.orchestrator.explaining.circumstances import Circumstances
from bacalhau_jupyter.orchestrator.explaining.daemon import idle_nodes, idle_words, is_live_daemon
from bacalhau_jupyter.orchestrator.explaining.nodes import Judge, full_summary
from bacalhau_jupyter.orchestrator.explaining.queue import behind
from bacalhau_jupyter.orchestrator.explaining.quota import judge_quota
from bacalhau_jupyter.orchestrator.explaining.several import chosen_remedies, counted_reasons
from bacalhau_jupyter.orchestrator.explaining.words import listed
from bacalhau_jupyter.orchestrator.scheduler.naming import UnknownNode
from bacalhau_jupyter.orchestrator.scheduler.placement import Obstacle, Placement

_LONGEST_MESSAGE = 300
_ORDER = list(Verdict)


def explain(circumstances: Circumstances, reader: str = "") -> Explanation:
    """Say to somebody why a job does not run, or how it came to run where it does or did."""
    situation = circumstances.situation
    job = situation.job
    placement = Placement(situation)
    partition, waiting_count = _partition(circumstances, placement)
    verdicts = _verdicts(circumstances, placement, partition)
    if not waiting_count:
        verdicts = [_with_execution(verdict, circumstances, job) for verdict in verdicts]
    # The sort is stable: within a verdict the order of `_verdicts` stays.
    verdicts.sort(key=lambda verdict: _ORDER.index(verdict.verdict))
    if waiting_count:
        quota = judge_quota(situation, verdicts, reader, everywhere=job.type == JobType.OPS)
        # Who named a host does not ask about others.
        meant = [verdict for verdict in verdicts if verdict.node_id not in placement.elsewhere]
        summary = _waiting(meant or verdicts, placement.unknown) if quota is None else quota.summary
        if quota is None and verdicts and verdicts[0].verdict is Verdict.FULL:
            summary += behind(circumstances.ahead)
        if (job.count or 0) > 1:
            summary = f"{waiting_count} of {job.count} parts: {summary}"
        remedies = chosen_remedies(verdicts, placement.unknown) if quota is None else quota.remedies
    else:
        summary = _placed(circumstances, verdicts)
        idle = idle_nodes(circumstances, verdicts)
        remedies = chosen_remedies(idle) if idle else []
    return Explanation(
        job_id=job.id,
        name=job.name,
        state=job.state.state_type.value,
        outcome=recorded_outcome(job.state),
        summary=summary,
        nodes=[_described(verdict, circumstances) for verdict in verdicts],
        remedies=remedies,
    )


def _described(verdict: NodeVerdict, circumstances: Circumstances) -> NodeVerdict:
    """Add what kind of node it is: in a mixed cluster that explains much."""
    state = circumstances.states.get(verdict.node_id)
    if state is None:
        return verdict
    software = readable(f"{state.info.kind} {state.info.software_version}").strip()
    return replace(verdict, software=software, link=state.link)


def _partition(circumstances: Circumstances, placement: Placement) -> tuple[int, int]:
    """Return the partition that stands for those that wait, and how many wait: none when the job is over."""
    job, count = circumstances.situation.job, circumstances.situation.job.count or 0
    if job.is_terminal:
        return 0, 0
    if _runs_everywhere(job):
        # Before it starts it waits like one part; afterwards each node has an execution or a reason of its own.
        return 0, 0 if circumstances.executions else 1
    done = (ExecutionStateType.COMPLETED,)
    taken = {
        item.partition_index
        for item in circumstances.executions
        if not item.is_terminal or item.compute_state.state_type in done
    }
    missing = count - sum(partition < count for partition in taken)
    # A count may be in the millions: the first free number is among the first ones.
    untried = next((n for n in range(len(taken) + 1) if n not in taken), 0)
    candidates = [untried, *sorted(n for n in placement.tried - taken if n < count)]

    def chances(partition: int) -> int:
        refusals = [placement.refusal(node, partition) for node in placement.nodes]
        return sum(refusal is None or refusal.temporary for refusal in refusals)

    # The partition in the worst position speaks for the job.
    return min(candidates, key=chances), missing


def _verdicts(circumstances: Circumstances, placement: Placement, partition: int) -> list[NodeVerdict]:
    """Judge every node: the best score first, then those that lack least, then by ID."""
    judge = Judge(circumstances)
    over = circumstances.situation.job.is_terminal
    able: list[tuple[float, NodeVerdict]] = []
    others: list[tuple[float, NodeVerdict]] = []
    for node in sorted(circumstances.situation.nodes, key=lambda node: node.id):
        refusal = placement.refusal(node, partition)
        if over and refusal is not None and refusal.obstacle in (Obstacle.FULL, Obstacle.RESTING):
            # What is free now says nothing about then.
            refusal = None
        verdict = judge.judge(node, refusal)
        if verdict.verdict is Verdict.ABLE:
            able.append((-placement.score(node, partition), verdict))
        else:
            others.append((_lack(verdict), verdict))
    able.sort(key=lambda pair: pair[0])
    others.sort(key=lambda pair: pair[0])
    ranked = [replace(verdict, rank=0 if over else number) for number, (_, verdict) in enumerate(able, 1)]
    return [*ranked, *(verdict for _, verdict in others)]


def _lack(verdict: NodeVerdict) -> float:
    """Return how much is missing, as a share of what the node has."""
    return sum((item.asked - item.free) / item.total for item in verdict.shortages if item.total)


def _with_execution(verdict: NodeVerdict, circumstances: Circumstances, job: Job) -> NodeVerdict:
    """Return the verdict on a node that runs the job or has run it."""
    here = [item for item in circumstances.executions if item.node_id == verdict.node_id]
    chosen = _deciding(here)
    if chosen is None or (is_live_daemon(job) and chosen.is_terminal):
        # A daemon wants each node again: what the node is for it now is the news.
        return verdict
    word = Verdict.RAN if chosen.is_terminal else Verdict.RUNS
    state = chosen.compute_state.state_type.name.replace("_", " ").lower()
    if chosen.run_output is not None and chosen.run_output.code:
        state = f"exit code {chosen.run_output.code}"
    return NodeVerdict(
        node_id=verdict.node_id, verdict=word, reason=f"execution {short_id(chosen.id)}: {state}"
    )


def _deciding(executions: Sequence[Execution]) -> Execution | None:
    """Return the execution that counts among those that got to run; None if none did."""
    begun = [
        item
        for item in executions
        if item.desired_state.state_type is not DesiredStateType.PENDING
        and item.compute_state.state_type
        not in (ExecutionStateType.ASK_FOR_BID_REJECTED, ExecutionStateType.BID_REJECTED)
    ]
    live = [item for item in begun if not item.is_terminal]
    return deciding(live or begun)


# ---- one sentence


def _waiting(verdicts: Sequence[NodeVerdict], unknown: UnknownNode | None) -> str:
    if unknown is not None:
        return unknown.sentence
    if not verdicts:
        return "waiting for a node: this cluster has none"
    first = verdicts[0]
    several = sum(verdict.verdict is first.verdict for verdict in verdicts) > 1
    name = readable(short_id(first.node_id))
    match first.verdict:
        case Verdict.ABLE:
            return f"about to be placed: {name} has room for it"
        case Verdict.FULL if first.shortages:
            return full_summary(first, name if several or len(verdicts) > 1 else "node")
        case Verdict.FULL:
            return f"waiting for {name}, which {first.reason}"
        case Verdict.AWAY:
            return f"waiting for {name}, which {first.reason}"
    return _no_fit(verdicts)


def _no_fit(verdicts: Sequence[NodeVerdict]) -> str:
    """Say that no node will ever do, and how many fail for which reason: ``no node fits: 3 nodes, 2 lack GPU``."""
    if len(verdicts) == 1:
        return f"no node fits: {readable(short_id(verdicts[0].node_id))} {verdicts[0].reason}"
    return f"no node fits: {len(verdicts)} nodes, {counted_reasons(verdicts)}"


def _placed(circumstances: Circumstances, verdicts: Sequence[NodeVerdict]) -> str:
    """Say how a job ended, or that it runs, and why there."""
    job = circumstances.situation.job
    if is_live_daemon(job):
        return _spread(circumstances) + idle_words(idle_nodes(circumstances, verdicts))
    chosen = _deciding(circumstances.executions)
    if chosen is None:
        return _never_ran(circumstances)
    if _runs_everywhere(job):
        return _spread(circumstances)
    if len(places := _places(circumstances)) > 1:
        verb = f"{_ending(job)} on" if job.is_terminal else "runs on"
        return f"{verb} {len(places)} nodes: {listed(places)}"
    name = readable(short_id(chosen.node_id))
    verb = f"{_ending(job)} on" if job.is_terminal else "runs on"
    return f"{verb} {name}, {_choice(circumstances, chosen)}"


def _places(circumstances: Circumstances) -> list[str]:
    """Return the nodes of the parts that run or are done; of a job that did not end well, none counts."""
    job = circumstances.situation.job
    states = {ExecutionStateType.COMPLETED}
    if not job.is_terminal:
        states |= {ExecutionStateType.RUNNING, ExecutionStateType.BID_ACCEPTED}
    elif recorded_outcome(job.state) is not Outcome.SUCCEEDED:
        return []
    node_ids = {item.node_id for item in circumstances.executions if item.compute_state.state_type in states}
    return [readable(short_id(node)) for node in sorted(node_ids)]


def _runs_everywhere(job: Job) -> bool:
    return job.type in (JobType.OPS, JobType.DAEMON)


def _spread(circumstances: Circumstances) -> str:
    """Say how far a job for all nodes is: ``runs on 3 of 4 nodes``."""
    job = circumstances.situation.job
    own = {item.node_id for item in circumstances.executions}
    live = {item.node_id for item in circumstances.executions if not item.is_terminal}
    completed = ExecutionStateType.COMPLETED
    done = {i.node_id for i in circumstances.executions if i.compute_state.state_type is completed}
    # The nodes of an ops job are those of its start; a daemon is for all.
    total = len(own if job.type == JobType.OPS else {node.id for node in circumstances.situation.nodes})
    nodes = f"{total} node{'' if total == 1 else 's'}"
    if not job.is_terminal:
        finished = f", done on {len(done)}" if done else ""
        return f"runs on {len(live)} of {nodes}{finished}"
    return f"{_ending(job)}, done on {len(done)} of {nodes}" if job.type == JobType.OPS else _ending(job)


def _choice(circumstances: Circumstances, chosen: Execution) -> str:
    """Say why an execution was placed on its node, from what was noted then."""
    able, _, known = circumstances.candidates.get(chosen.id, "").partition(" of ")
    if known == "1":
        words = "the only node"
    elif able == "1":
        words = f"the only one of {known} nodes with room for it"
    elif able and known:
        words = f"the best of {able} nodes with room for it, of {known} in all"
    else:
        words = "which had room for it"
    refused = {
        item.node_id
        for item in circumstances.executions
        if item.compute_state.state_type is ExecutionStateType.ASK_FOR_BID_REJECTED
        and item.node_id != chosen.node_id
        and item.create_time <= chosen.create_time
    }
    if refused:
        words += f", after {listed([readable(short_id(node)) for node in sorted(refused)])} refused it"
    return words


def _never_ran(circumstances: Circumstances) -> str:
    job = circumstances.situation.job
    if not job.is_terminal:
        asked = next((item for item in circumstances.executions if not item.is_terminal), None)
        if asked is not None:
            return f"asking {readable(short_id(asked.node_id))} whether it takes the job"
        return "about to be placed"
    if job.state.state_type is JobStateType.COMPLETED:
        return "succeeded: it had nothing to run"
    return f"{_ending(job)} before it ran"


def _ending(job: Job) -> str:
    """Say how a job ended, without where."""
    exit_code = recorded_exit_code(job.state)
    error = readable(job.state.details.get(ERROR, ""))
    message = error or refusals_in(job.state.message) or readable(" ".join(job.state.message.split()))
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[:_LONGEST_MESSAGE]}…"
    match recorded_outcome(job.state):
        case Outcome.SUCCEEDED:
            return "succeeded"
        case Outcome.STOPPED:
            return f"was {stopped_words(message, 'stopped ({})') or 'stopped'}"
    if exit_code:
        return f"failed with exit code {exit_code}{f' ({error})' if error else ''}"
    return f"failed ({message})" if message else "failed"
