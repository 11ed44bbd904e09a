"""Ports of jobs: who gets which, what is refused, and what a program is told of them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.compute.host.ports import Ports, PortTaken, check_range
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType, Port
from bacalhau_jupyter.models.wire.messages import BidResult, RunResult
from tests.compute.makers import make_execution, make_task
from tests.compute.peer import Bench
from tests.compute.real import LONG_S, RealBench, begin, ends, image_for, running


def asks(*ports: Port, kind: NetworkType = NetworkType.BRIDGE) -> NetworkConfig:
    return NetworkConfig(type=kind, ports=list(ports))


def numbers(ports: list[Port]) -> list[tuple[int, int]]:
    return [(port.static, port.target) for port in ports]


def test_a_port_without_a_number_comes_from_the_range_one_after_another() -> None:
    ports = Ports(20000, 20002, is_free=lambda port: True)
    assert numbers(ports.reserve("a", asks(Port(name="x", target=80)))) == [(20000, 80)]
    assert numbers(ports.reserve("b", asks(Port(name="x"), Port(name="y")))) == [
        (20001, 20001),
        (20002, 20002),
    ]
    with pytest.raises(PortTaken, match="no available ports in range 20000-20002"):
        ports.reserve("c", asks(Port(name="x")))
    ports.release("a")
    assert numbers(ports.reserve("c", asks(Port(name="x")))) == [(20000, 20000)]


def test_a_named_port_may_lie_outside_the_range_and_is_not_given_away_beside_it() -> None:
    ports = Ports(20000, 20001, is_free=lambda port: True)
    asked = asks(Port(name="x"), Port(name="y", static=20000), Port(name="z", static=9000))
    assert [port.static for port in ports.reserve("a", asked)] == [20001, 20000, 9000]


def test_the_hosts_network_has_no_port_inside() -> None:
    ports = Ports(is_free=lambda port: True)
    assert numbers(ports.reserve("a", asks(Port(name="x", static=9000), kind=NetworkType.HOST))) == [
        (9000, 0)
    ]


def test_a_port_of_a_bridge_listens_where_the_node_says_unless_the_job_does() -> None:
    ports = Ports(is_free=lambda port: True, address="127.0.0.1")
    asked = asks(Port(name="x"), Port(name="y", host_network="0.0.0.0"))
    assert [port.host_network for port in ports.reserve("a", asked)] == ["127.0.0.1", "0.0.0.0"]
    # A program on the host's network chooses for itself.
    assert ports.reserve("b", asks(Port(name="x"), kind=NetworkType.HOST))[0].host_network == ""


def test_a_port_that_a_job_holds_is_free_again_when_that_ends_and_nothing_is_held_by_halves() -> None:
    ports = Ports(20000, 20001, is_free=lambda port: True)
    ports.reserve("a", asks(Port(name="x", static=9000)))
    with pytest.raises(PortTaken, match="port 9000 is already in use by another job") as taken:
        ports.reserve("b", asks(Port(name="free", static=9001), Port(name="x", static=9000)))
    assert taken.value.waiting_helps
    ports.reserve("c", asks(Port(name="x", static=9001)))
    ports.release("a")
    ports.reserve("b", asks(Port(name="x", static=9000)))


def test_a_port_that_a_program_of_this_host_has_may_be_free_later(unused_tcp_port: int) -> None:
    port = unused_tcp_port
    held = socket.create_server(("127.0.0.1", port))
    with held, pytest.raises(PortTaken, match=f"port {port} is already in use on this host") as taken:
        Ports().reserve("a", asks(Port(name="x", static=port)))
    assert taken.value.waiting_helps
    Ports().reserve("a", asks(Port(name="x", static=port)))


def test_an_execution_gets_so_many_ports_and_no_more() -> None:
    """Each is tried with a socket, on the node's own event loop."""
    tried: list[int] = []

    def is_free(port: int) -> bool:
        tried.append(port)
        return True

    ports = Ports(is_free=is_free)
    with pytest.raises(
        PortTaken, match="asks for 10000 ports; a node gives an execution 256 at most"
    ) as refused:
        ports.reserve("a", asks(*(Port(name=f"p{n}") for n in range(10_000))))
    assert not refused.value.waiting_helps
    assert not tried
    assert len(ports.reserve("a", asks(*(Port(name=f"p{n}") for n in range(256))))) == 256


@pytest.mark.parametrize("bounds", [(80, 90), (20000, 20000), (30000, 20000), (60000, 70000)])
def test_a_range_that_holds_no_ports_for_jobs_is_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ConfigurationError, match="PortRangeStart"):
        check_range(*bounds)


def listening(port: int, **members: object) -> NetworkConfig:
    return asks(Port(name="web", static=port, **members))  # type: ignore[arg-type]


async def test_a_second_job_with_the_same_port_is_told_which_and_may_have_it_later(
    node: Bench, unused_tcp_port: int
) -> None:
    task = make_task("world", network=listening(unused_tcp_port))
    first, second = make_execution(task), make_execution(task)
    assert (await node.peer.bid(first)).accepted
    refused = await node.peer.bid(second)
    assert not refused.accepted
    assert refused.events is not None
    expected = f"rejected bid: port {unused_tcp_port} is already in use by another job"
    assert refused.events[0].message == expected
    assert refused.events[0].details["Capacity"] == "true"
    await node.peer.cancel(first)
    await node.idle()
    assert (await node.peer.bid(make_execution(task))).accepted


async def test_a_port_of_another_program_makes_a_job_wait(node: Bench) -> None:
    """It may be a job of another node of this machine, which ends some day."""
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        refused = await node.peer.bid(make_execution(make_task("world", network=listening(port))))
    assert refused.events is not None
    assert refused.events[0].message == f"rejected bid: port {port} is already in use on this host"
    assert refused.events[0].details["Capacity"] == "true"


def test_the_nodes_of_one_process_know_of_each_others_ports_until_they_leave() -> None:
    held: dict[str, list[Port]] = {}
    here = Ports(20000, 20009, is_free=lambda port: True, held=held)
    there = Ports(20000, 20009, is_free=lambda port: True, held=held)
    here.reserve("a", asks(Port(name="x", static=9000), Port(name="y")))
    with pytest.raises(PortTaken, match="port 9000 is already in use by another job") as taken:
        there.reserve("b", asks(Port(name="x", static=9000)))
    assert taken.value.waiting_helps
    assert [port.static for port in there.reserve("c", asks(Port(name="y")))] == [20001]
    here.close()
    there.reserve("b", asks(Port(name="x", static=9000)))
    assert set(held) == {"b", "c"}


async def test_the_bid_says_which_ports_it_holds_also_where_nobody_asked_for_one(node: Bench) -> None:
    task = make_task("world", network=asks(Port(name="web", target=80)))
    bid = await node.peer.bid(make_execution(task))
    (port,) = bid.ports
    assert 20000 <= port.static <= 32000
    assert bid.events is not None
    assert bid.events[0].message == f"Ports: web *:{port.static} → 80"
    await node.peer.ask(make_execution(task, direct=True))
    direct_bid = await node.peer.next()
    assert isinstance(direct_bid, BidResult)
    assert direct_bid.accepted
    # Not always a higher one: other tests' jobs have some in between, and give some back.
    assert direct_bid.ports[0].static != port.static
    assert 20000 <= direct_bid.ports[0].static <= 32000


async def test_ports_are_still_held_after_a_restart(node: Bench, unused_tcp_port: int) -> None:
    task = make_task("world", network=listening(unused_tcp_port))
    first = make_execution(task)
    assert (await node.peer.bid(first)).accepted
    await node.crash()
    await node.restart()
    assert not (await node.peer.bid(make_execution(task))).accepted


# Nodes of other workers give the first ports of the usual range to their jobs, too.
@pytest.fixture
async def docker(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unused_tcp_port_factory: Callable[[], int],
) -> AsyncIterator[RealBench]:
    request.param = "docker"
    port = unused_tcp_port_factory()
    it = RealBench(tmp_path, "docker", image_for(request, monkeypatch), port_range=(port, port))
    async with running(it, it.kind):
        yield it
    remove_tree(tmp_path)


@pytest.fixture
async def process(tmp_path: Path, unused_tcp_port_factory: Callable[[], int]) -> AsyncIterator[RealBench]:
    port = unused_tcp_port_factory()
    it = RealBench(tmp_path, "process", "", port_range=(port, port))
    async with running(it, it.kind):
        yield it
    remove_tree(tmp_path)


async def answer_of(port: int, host: str = "127.0.0.1") -> str:
    """Ask a port until a program behind it answers."""
    async with asyncio.timeout(LONG_S):
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, port)
                answer = (await reader.read()).decode()
                writer.close()
            except OSError:
                answer = ""
            if answer:
                return answer
            await asyncio.sleep(0.05)


ANSWERS = "while true; do echo hello | nc -l -p $PORT; done"


@pytest.mark.docker
async def test_a_port_of_a_container_is_reached_from_here_and_closed_when_it_ends(docker: RealBench) -> None:
    network = asks(Port(name="web", host_network="127.0.0.1"))
    script = 'echo "$BACALHAU_PORT_web $BACALHAU_HOST_PORT_web"; PORT=$BACALHAU_PORT_web; ' + ANSWERS
    execution = make_execution(docker.shell(script, network=network))
    bid = await docker.peer.bid(execution)
    assert bid.accepted, bid.events
    (port,) = bid.ports
    await docker.peer.accept(execution)
    assert await answer_of(port.static) == "hello\n"
    await docker.crash()
    await docker.restart()
    assert await answer_of(port.static) == "hello\n"
    await docker.peer.cancel(execution)
    await docker.idle()
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port.static)
    assert (
        await docker.peer.bid(make_execution(docker.shell("true", network=listening(port.static))))
    ).accepted


@pytest.mark.docker
async def test_a_container_is_told_the_port_inside_and_outside(
    docker: RealBench, unused_tcp_port: int
) -> None:
    script = "env | grep BACALHAU_.*PORT | sort"
    await begin(docker, docker.shell(script, network=listening(unused_tcp_port, target=8080)))
    result = await ends(docker)
    assert isinstance(result, RunResult), result
    assert result.run_command_result is not None
    assert result.run_command_result.stdout == (
        f"BACALHAU_HOST_PORT_web={unused_tcp_port}\nBACALHAU_PORT_web=8080\n"
    )


@pytest.mark.process
async def test_a_process_on_the_hosts_network_listens_on_the_port_that_it_is_given(
    process: RealBench,
) -> None:
    network = asks(Port(name="web"), kind=NetworkType.HOST)
    program = (
        "import os, socket; s = socket.create_server(('127.0.0.1', int(os.environ['BACALHAU_HOST_PORT_web'])));"
        "print('BACALHAU_PORT_web' in os.environ); c, _ = s.accept(); c.sendall(b'hello'); c.close()"
    )
    execution = make_execution(process.shell(f'python3 -c "{program}"', network=network))
    bid = await process.peer.bid(execution)
    assert bid.accepted, bid.events
    await process.peer.accept(execution)
    assert await answer_of(bid.ports[0].static) == "hello"
    result = await ends(process)
    assert isinstance(result, RunResult), result
    assert result.run_command_result is not None
    assert result.run_command_result.stdout == "False\n"
