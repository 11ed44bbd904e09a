"""Ports of this host that executions hold: the fixed ones that jobs name, and others from the configured range."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, MutableMapping, Sequence

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType, Port, replace

FIRST, LAST = 20000, 32000
"""The range that free ports are taken from, unless configured."""
LOWEST, HIGHEST = 1024, 65535
PER_EXECUTION = 256
"""Ports of one execution: each is tried with a socket, and the range is everybody's."""
START_KEY, END_KEY = "Compute.Network.PortRangeStart", "Compute.Network.PortRangeEnd"


HeldPorts = MutableMapping[str, list[Port]]
"""Execution ID → the ports that it holds; the compute nodes of one process share one such account."""


class PortTaken(Exception):
    """A port can't be had; ``waiting_helps``: whoever has it may give it back."""

    def __init__(self, reason: str, *, waiting_helps: bool) -> None:
        super().__init__(reason)
        self.waiting_helps = waiting_helps


class Ports:
    """Keeps account of who holds which port; not thread-safe, used on the event loop only.

    Parameters
    ----------
    first, last
        The range that ports are taken from where a job names none.
    is_free
        Whether no program of this host listens on a port.
    address
        Where ports of bridges listen if a job does not say; empty: on every address.
    held
        The account of this host; one of its own, if left out.
    """

    def __init__(
        self,
        first: int = FIRST,
        last: int = LAST,
        is_free: Callable[[int], bool] | None = None,
        address: str = "",
        held: HeldPorts | None = None,
    ) -> None:
        self._first = first
        self._count = last - first + 1
        self._is_free = is_free or is_free_here
        self._address = address
        self._next = 0
        self._held: HeldPorts = {} if held is None else held
        self._own: set[str] = set()

    def reserve(self, execution_id: str, network: NetworkConfig) -> list[Port]:
        """Reserve what a task asks for and return it with the numbers of all ports.

        Asking again for the same execution returns what it holds already.

        Raises
        ------
        PortTaken
            One can't be had; nothing is held.
        """
        if execution_id in self._held:
            return self._held[execution_id]
        if len(network.ports) > PER_EXECUTION:
            reason = (
                f"it asks for {len(network.ports)} ports; a node gives an execution {PER_EXECUTION} at most"
            )
            raise PortTaken(reason, waiting_helps=False)
        held = {port.static for ports in self._held.values() for port in ports}
        named = {port.static for port in network.ports if port.static}
        reserved: list[Port] = []
        for port in network.ports:
            number = port.static
            if not number:
                number = self._any(held | named | {each.static for each in reserved})
            elif number in held:
                raise PortTaken(f"port {number} is already in use by another job", waiting_helps=True)
            elif not self._is_free(number):
                # It may be a job of another node's process: nobody can tell for how long.
                raise PortTaken(f"port {number} is already in use on this host", waiting_helps=True)
            whole = replace(port, static=number)
            if network.type is NetworkType.BRIDGE:
                target, address = port.target or number, port.host_network or self._address
                whole = replace(whole, target=target, host_network=address)
            reserved.append(whole)
        if reserved:
            self.restore(execution_id, reserved)
        return reserved

    def restore(self, execution_id: str, ports: Sequence[Port]) -> None:
        """Take over what an execution held before a restart."""
        if ports:
            self._held[execution_id] = list(ports)
            self._own.add(execution_id)

    def release(self, execution_id: str) -> None:
        """Give back what an execution holds."""
        self._held.pop(execution_id, None)
        self._own.discard(execution_id)

    def close(self) -> None:
        """Leave the account: what still runs is seen by its open port from now on."""
        for execution_id in list(self._own):
            self.release(execution_id)

    def _any(self, taken: set[int]) -> int:
        """Return a free port, each after the last one: what has just been given back rests a while."""
        for step in range(self._count):
            number = self._first + (self._next + step) % self._count
            if number not in taken and self._is_free(number):
                self._next = (number - self._first + 1) % self._count
                return number
        last = self._first + self._count - 1
        raise PortTaken(f"no available ports in range {self._first}-{last}", waiting_helps=True)


def check_range(first: int, last: int) -> None:
    """Refuse a range that no port could be taken from.

    Raises
    ------
    ConfigurationError
        It is empty, or holds ports of the system.
    """
    if first < LOWEST or last > HIGHEST or first >= last:
        raise ConfigurationError(
            f"{START_KEY}={first} and {END_KEY}={last} are no range of ports for jobs",
            hint=f"The first is {LOWEST} or more, the last {HIGHEST} or less, and the first below the last.",
        )


def is_free_here(port: int) -> bool:
    """Whether a program could listen on a port on every address of this host."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            probe = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # this host has no such addresses
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind((address, port))
                probe.listen(1)
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    return False
    return True
