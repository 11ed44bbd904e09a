"""Tries the way to a host: step by step for people, or until it is there when it is added."""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import Sequence

import msgspec

from bacalhau_jupyter.engines.docker.link.fault import JOBS_GO_ON, Part
from bacalhau_jupyter.engines.docker.link.target import ssh_target
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.records.host_orders import HostStep, HostTest
from bacalhau_jupyter.models.records.hosts import HostState, SshAlias
from bacalhau_jupyter.node.hosts.host import Host
from bacalhau_jupyter.node.hosts.naming import COMPONENT
from bacalhau_jupyter.node.hosts.ways import Ways
from bacalhau_jupyter.node.hosts.written.entries import HostEntry
from bacalhau_jupyter.plugins.link import HostLink, HostStatus

READY_S = 30.0
"""Seconds that a host may take to answer when it is added."""


NEW_AND_AWAY = "Is it on, and in reach (network, VPN)? `host add … --anyway` keeps it until it answers."
"""The hint about a host that says nothing when it is added."""
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)


def offered_key(steps: Sequence[HostStep]) -> str:
    """Return the fingerprint of a key that is not known yet and could be accepted; empty for any other trouble."""
    failed = next((step for step in steps if step.ok is False), None)
    if failed is None or "--trust" not in failed.hint:
        return ""
    match = _FINGERPRINT.search(f"{failed.hint} {failed.sentence}")
    return match[0] if match else ""


def meant(entry: HostEntry, aliases: Sequence[SshAlias]) -> str:
    """Return the alias of ssh that an address nearly names, where it names none; empty for no such one; pure."""
    target = None if entry.context else ssh_target(entry.url)
    names = [alias.name for alias in aliases]
    if target is None or target.host in names:
        return ""
    near = difflib.get_close_matches(target.host, names, n=1, cutoff=0.7)
    return near[0] if near else ""


def _asked(name: str, hint: str) -> str:
    """Return a hint that asks first whether another name was meant."""
    return f"did you mean {name}? {hint}".strip() if name else hint


def _of_a_new_host(hint: str) -> str:
    """Return a hint without jobs that can't be there yet."""
    return NEW_AND_AWAY if hint == JOBS_GO_ON else hint


async def settled(link: HostLink, timeout_s: float) -> HostStatus:
    """Wait until it is known how a link is, for a while; return its status."""
    known = asyncio.Event()
    leave = link.watch(lambda status: known.set())
    try:
        async with asyncio.timeout(timeout_s):
            while link.status.state is HostState.CONNECTING:
                known.clear()
                await known.wait()
    except TimeoutError:
        pass
    finally:
        leave()
    return link.status


class Trials:
    """Tries ways."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    async def examine(self, entry: HostEntry, host: Host | None = None) -> HostTest:
        """Try a way step by step.

        Parameters
        ----------
        host
            The host, where it is there already: its machine is asked what it has.
        """
        steps = await self._ways.examine(entry)
        if host is None:
            steps = [msgspec.structs.replace(step, hint=_of_a_new_host(step.hint)) for step in steps]
            steps = await self._with_alias(entry, steps)
        ok = all(step.ok is not False for step in steps)
        facts = None if host is None else host.machine.facts
        if ok and host is not None and host.status.state is HostState.READY:
            try:
                facts = await host.machine.ask()
            except BacalhauError as error:
                ok = False
                steps.append(HostStep(name="machine", ok=False, sentence=error.message, hint=error.hint))
        return HostTest(ok=ok, steps=steps, facts=facts, fingerprint=offered_key(steps))

    async def _with_alias(self, entry: HostEntry, steps: list[HostStep]) -> list[HostStep]:
        failed = next((at for at, step in enumerate(steps) if step.ok is False), None)
        if failed is None or steps[failed].name not in (Part.NAME.value, Part.SERVER.value):
            return steps
        name = await self._meant(entry, HostState.UNREACHABLE)
        hint = _asked(name, steps[failed].hint)
        return [*steps[:failed], msgspec.structs.replace(steps[failed], hint=hint), *steps[failed + 1 :]]

    async def _meant(self, entry: HostEntry, state: HostState) -> str:
        """Return the alias that was meant; who has answered was meant itself."""
        if state is not HostState.UNREACHABLE:
            return ""
        return meant(entry, await asyncio.to_thread(self._ways.aliases))

    async def trust(self, entry: HostEntry, fingerprint: str) -> None:
        """Accept the key that a host shows.

        Raises
        ------
        BadRequest
            It shows another one, or none.
        """
        try:
            await self._ways.trust(entry, fingerprint)
        except BacalhauError as error:
            raise BadRequest(
                f"host {entry.name} was not added: {error.message}", hint=error.hint, component=COMPONENT
            ) from error

    async def ready(self, host: Host) -> None:
        """Wait until a host answers, and ask it what it has.

        Raises
        ------
        BadRequest
            It can't be reached; the sentence and the hint are those of the first step that does not work.
        """
        status = await settled(host.way.link, READY_S)
        if status.state is not HostState.READY:
            # It is the caller who named the address: this node itself is well.
            problem = status.problem or "it does not answer"
            if status.hint == JOBS_GO_ON:
                # Since when matters of a host that has answered once.
                problem = problem.partition(" since ")[0]
            hint = _of_a_new_host(status.hint) or NEW_AND_AWAY
            raise BadRequest(
                f"host {host.name} was not added: {problem}",
                hint=_asked(await self._meant(host.entry, status.state), hint),
                component=COMPONENT,
                details={"State": status.state.value},
            )
        try:
            await host.machine.ask()
        except BacalhauError as error:
            raise BadRequest(
                f"host {host.name} was not added: {error.message}", hint=error.hint, component=COMPONENT
            ) from error
