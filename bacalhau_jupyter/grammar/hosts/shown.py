"""Hosts for people: a table, one host in detail, the steps of a trial, and what was left there."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.grammar.output import Details, Table
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.lib.times import ZERO_TIME
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.host_orders import HostCleaning, HostStep, HostTest
from bacalhau_jupyter.models.records.hosts import HostFacts, HostRecord, Hosts, HostState

_SECONDS = len("2026-01-01T00:00:00")
SKEW_MS = 5000.0
"""Milliseconds from which a clock is shown as wrong."""


def hosts_table(hosts: Hosts, *, wide: bool = False) -> Table:
    """List hosts; below them what is wrong in their file, and Docker contexts that could be added."""
    rows = [
        (
            each.name,
            each.state.value,
            f"{each.free.cpu:.1f} / {each.capacity.cpu:.1f}",
            f"{each.free.memory / 1e9:.1f} / {each.capacity.memory / 1e9:.1f} GB",
            f"{each.free.gpu} / {each.capacity.gpu}",
            each.executions,
            each.url,
            *((each.node_id, each.way) if wide else ()),
            each.progress or each.problem or _unusable_gpus(each),
        )
        for each in hosts.items
    ]
    notes = [f"! {problem}" for problem in hosts.problems]
    if not hosts.items:
        notes.append("There are no Docker hosts; `host add ssh://alice@gpu1` adds one.")
    if hosts.contexts:
        names = ", ".join(context.name for context in hosts.contexts)
        notes.append(f"Docker contexts that could be added: {names} (host add --context NAME)")
    columns = ("name", "state", "cpu", "memory", "gpu", "jobs", "address")
    return Table(
        (*columns, *(("node", "way") if wide else ()), "note"), rows, hosts.items, note="\n".join(notes)
    )


def host_details(host: HostRecord, *, is_new: bool = False) -> Details:
    """Describe a host; ``is_new`` says what comes next."""
    link: dict[str, object] = {
        "State": host.state.value,
        "Since": "" if host.since == ZERO_TIME else f"{host.since[:_SECONDS].replace('T', ' ')} UTC",
        "Why": host.problem,
        "What helps": host.hint,
        "Address": host.url,
        "Docker context": host.context,
        "Way": host.way,
        "Node": host.node_id,
        "Labels": " ".join(f"{key}={value}" for key, value in sorted(host.labels.items())),
        "Jobs": host.executions,
        "Now": host.progress,
    }
    sections: list[tuple[str, Table | dict[str, object] | str]] = [
        (host.name, {name: value for name, value in link.items() if value not in ("", None)})
    ]
    if host.facts is not None:
        sections.append(("Machine", machine(host.facts, host)))
    if is_new:
        when = "takes jobs" if host.state is HostState.READY else "takes jobs as soon as it answers"
        sections.append(("", f"Host {host.name} was added and {when}: --host {host.name}"))
    return Details(host, sections)


def machine(facts: HostFacts, host: HostRecord | None = None) -> dict[str, object]:
    """Say what a host has."""
    there = facts.resources
    shown: dict[str, object] = {
        "Name": facts.machine,
        "Platform": f"{facts.os}/{facts.architecture}",
        "Docker Engine": facts.engine,
        "CPU": f"{there.cpu:g}",
        "Memory": format_bytes(there.memory),
        "Free disk": format_bytes(there.disk) if there.disk else "unknown",
        "GPUs": _gpus(facts),
        "Load": f"{facts.load:g}" if facts.load >= 0 else "",
        "Round trip": f"{facts.round_trip_ms:g} ms",
        "Clock": _clock(facts),
        "For jobs": "" if host is None else _share(host),
        "Used by others": _others(facts),
        "Seen": f"{facts.seen[:_SECONDS].replace('T', ' ')} UTC",
    }
    return {name: value for name, value in shown.items() if value != ""}


def trial(test: HostTest) -> Details:
    """Show each step of a trial, and what helps where one failed."""
    rows = [(_SIGNS[step.ok], step.name, step.sentence) for step in test.steps]
    sections: list[tuple[str, Table | dict[str, object] | str]] = [("", Table(("", "step", "found"), rows))]
    if hints := _hints(test.steps):
        sections.append(("What helps", hints))
    if test.facts is not None:
        sections.append(("Machine", machine(test.facts)))
    return Details(test, sections, is_failure=not test.ok)


def remains_table(cleaning: HostCleaning, name: str, *, wide: bool = False) -> Table:
    """List what nodes have on a host."""
    rows = [
        (
            each.node_id if wide else short_id(each.node_id),
            "this node" if each.is_own else each.owner or "unknown",
            each.containers,
            each.running,
            each.volumes,
            "" if each.last == ZERO_TIME else f"{each.last[:_SECONDS].replace('T', ' ')} UTC",
        )
        for each in cleaning.items
    ]
    notes = [f"Removed what node {node} had left." for node in cleaning.removed]
    if any(not each.is_own for each in cleaning.items):
        notes.append(f"`host clean {name} --remove NODE` removes what a node that is gone has left.")
    if any(each.is_own and each.volumes for each in cleaning.items):
        notes.append(
            "Of this node it removes the inputs that stay there for later jobs, where none uses them."
        )
    columns = ("node", "owner", "containers", "running", "volumes", "last")
    return Table(columns, rows, cleaning, note="\n".join(notes))


_SIGNS = {True: "✓", False: "✕", None: "·"}


def _hints(steps: Sequence[HostStep]) -> str:
    return "\n".join(step.hint for step in steps if step.hint and step.ok is False)


def _unusable_gpus(host: HostRecord) -> str:
    """Say why jobs can't have GPUs that are counted in the list."""
    problems = {} if host.facts is None else host.facts.gpu_problems
    return "; ".join(dict.fromkeys(problems.values())) if host.capacity.gpu else ""


def _gpus(facts: HostFacts) -> str:
    names = [
        " ".join(filter(None, (gpu.name, f"{gpu.memory >> 10} GiB" if gpu.memory else "")))
        for gpu in facts.resources.gpus
    ]
    problems = [f"{tool}: {problem}" for tool, problem in sorted(facts.gpu_problems.items())]
    if not names and not problems:
        # Without a shell there, the load is not known either.
        names_none = "no nvidia-smi, rocm-smi or xpu-smi there names one"
        return f"none found: {names_none if facts.load >= 0 else 'its Docker Engine names none'}"
    return "; ".join([*(f"{index}: {name}" for index, name in enumerate(names)), *problems])


def _clock(facts: HostFacts) -> str:
    if abs(facts.skew_ms) < SKEW_MS:
        return ""
    side = "ahead of" if facts.skew_ms > 0 else "behind"
    return f"{abs(facts.skew_ms) / 1000:.0f} s {side} this machine's: time stamps of its logs are its own"


def _share(host: HostRecord) -> str:
    if host.state is HostState.CONNECTING or host.capacity.is_zero:
        return ""
    most = host.capacity
    gpus = f", {most.gpu} GPU{'s' if most.gpu > 1 else ''}" if most.gpu else ""
    return f"CPU {most.cpu:g}, memory {format_bytes(most.memory)}, disk {format_bytes(most.disk)}{gpus}"


def _others(facts: HostFacts) -> str:
    taken = facts.taken
    parts = [
        f"{len(facts.others)} container{'s' if len(facts.others) > 1 else ''}" if facts.others else "",
        f"CPU {taken.cpu:g}" if taken.cpu else "",
        f"memory {format_bytes(taken.memory)}" if taken.memory else "",
        f"GPU {', '.join(str(gpu.index) for gpu in taken.gpus)}" if taken.gpus else "",
    ]
    return ", ".join(part for part in parts if part)
