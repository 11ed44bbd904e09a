"""What a person orders on a host besides jobs: copying an image there, and removing what others left."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import BadRequest, Conflict, NotImplementedHere
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.host_orders import CleanHost, HostCleaning, HostRemains, PushImage
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.node.hosts.host import Host
from bacalhau_jupyter.node.hosts.naming import COMPONENT
from bacalhau_jupyter.node.hosts.ways import KeepingEngine, Leftover, PushingEngine, SharedEngine
from bacalhau_jupyter.plugins.engine import Engine


async def push(host: Host, order: PushImage) -> int:
    """Copy an image of this machine's Docker Engine to a host; return how many bytes were sent.

    Raises
    ------
    BacalhauError
        There is no such image, the host is away, or something is being copied there already.
    """
    engine = _engine(host)
    if not isinstance(engine, PushingEngine):
        raise _not_here(host)
    return await host.copying.push(engine, order.image)


async def clean(host: Host, order: CleanHost) -> HostCleaning:
    """Return what nodes have on a host, and remove what the ones named left there.

    Of this node, which cleans up by itself, that is the inputs that it keeps there for later jobs.

    Raises
    ------
    BacalhauError
        The host is away, or one named has nothing there or containers that run, and the order does not force it.
    """
    engine = _engine(host)
    if not isinstance(engine, SharedEngine):
        raise _not_here(host)
    leftovers: Sequence[Leftover] = await engine.left_behind()
    items = remains_of(leftovers, host.node_id)
    there = {item.node_id for item in items}
    if missing := [name for name in order.remove if name not in there]:
        raise BadRequest(
            f"node {shown(missing[0][:80])!r} has left nothing on host {host.name}",
            hint=f"`host clean {host.name}` lists what others have there",
            component=COMPONENT,
        )
    running = [item for item in items if item.node_id in order.remove and item.running and not item.is_own]
    if running and not order.force:
        count = running[0].running
        raise Conflict(
            f"{count} container{'s' if count > 1 else ''} of node {shown(running[0].node_id[:80])} "
            f"{'run' if count > 1 else 'runs'} on host {host.name}: that node may be alive",
            hint="where it is gone for good, --force stops and removes what runs, too",
            component=COMPONENT,
        )
    if order.remove:
        others = [each for each in leftovers if each.node_id in order.remove and each.node_id != host.node_id]
        await engine.remove_left(others)
        if host.node_id in order.remove and isinstance(engine, KeepingEngine):
            await engine.forget_inputs()
        items = remains_of(await engine.left_behind(), host.node_id)
    return HostCleaning(items=items, removed=list(order.remove))


def remains_of(leftovers: Sequence[Leftover], own_node_id: str) -> list[HostRemains]:
    """Return what each node has on a host, the newest first; pure."""
    by_node: dict[str, list[Leftover]] = {}
    for leftover in leftovers:
        by_node.setdefault(leftover.node_id, []).append(leftover)
    newest = sorted(by_node.items(), key=lambda pair: -max(each.created_ns for each in pair[1]))
    return [
        HostRemains(
            node_id=node_id,
            owner=next((each.owner for each in its if each.owner), ""),
            containers=sum(each.kind == "container" for each in its),
            running=sum(each.running for each in its),
            volumes=sum(each.kind == "volume" for each in its),
            last=rfc3339(max(each.created_ns for each in its)),
            is_own=node_id == own_node_id,
        )
        for node_id, its in newest
    ]


def _not_here(host: Host) -> NotImplementedHere:
    return NotImplementedHere(f"the engine of host {host.name} can't do that", component=COMPONENT)


def _engine(host: Host) -> Engine:
    status = host.status
    if host.engine is None or status.state is not HostState.READY:
        raise Conflict(
            status.problem or f"host {host.name} is being connected",
            hint=status.hint,
            retryable=True,
            component=COMPONENT,
        )
    return host.engine
