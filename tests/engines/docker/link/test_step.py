"""The steps of a way: how far it goes, and what is said of each; and that a link to the same host is not disturbed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker.endpoints import Tls
from bacalhau_jupyter.engines.docker.link.step import Step, examine
from bacalhau_jupyter.engines.docker.link.target import PlainTarget, SshTarget
from bacalhau_jupyter.lib.clock import SystemClock
from tests.clock import ManualClock
from tests.engines.docker.link.conftest import Hosts
from tests.services.far_users import Way

pytestmark = pytest.mark.timeout(240)
ALL = ["name", "server", "host key", "login", "docker socket", "engine", "clock", "round trip"]


async def steps(hosts: Hosts, target: SshTarget | PlainTarget) -> list[Step]:
    known = hosts.known_hosts
    return [
        step
        async for step in examine(
            "gpu1", target, runtime_dir=hosts.runtime_dir, clock=SystemClock(), known_hosts=known
        )
    ]


def sentence(taken: list[Step], name: str) -> str:
    (sentence,) = (step.sentence for step in taken if step.step == name)
    return sentence


async def test_every_step_of_a_way_that_works(hosts: Hosts) -> None:
    taken = await steps(hosts, hosts.target(Way()))
    assert [step.step for step in taken] == ALL
    assert all(step.ok for step in taken), taken
    assert sentence(taken, "name") == f"gpu1 is {hosts.far_host.address}"
    assert sentence(taken, "login") == "it lets alice in"
    assert sentence(taken, "docker socket") == "/var/run/docker.sock can be used"
    assert sentence(taken, "engine").startswith("Docker Engine ")
    assert sentence(taken, "clock").startswith("its clock agrees with ours")


async def test_a_way_around_is_told(hosts: Hosts) -> None:
    port = hosts.far_host.sshd(AllowStreamLocalForwarding="no")
    taken = await steps(hosts, hosts.target(Way(port=port)))
    assert "through docker system dial-stdio" in sentence(taken, "docker socket")


@pytest.mark.parametrize(
    ("way", "failed", "words"),
    [
        (Way(lines=("HostName nobody.invalid",)), "name", "no machine is called"),
        (Way(port=2999), "server", "gpu1 runs no ssh server on port 2999"),
        (Way(known_hosts=Path("/dev/null")), "host key", "gpu1 is not known yet; its key is ED25519 SHA256:"),
        (Way(user="eve"), "login", "gpu1 does not let eve in"),
        (Way(user="bob"), "docker socket", "bob may not use Docker on gpu1"),
        (Way(lines=("Hosst x",)), "this machine", "Bad configuration option"),
    ],
)
async def test_the_step_that_fails_is_the_last_one(hosts: Hosts, way: Way, failed: str, words: str) -> None:
    taken = await steps(hosts, hosts.target(way))
    before = ALL[: ALL.index(failed)] if failed in ALL else []
    assert [step.step for step in taken] == [*before, failed]
    assert [step.ok for step in taken] == [True] * len(before) + [False]
    assert words in taken[-1].sentence
    assert taken[-1].hint


async def test_an_engine_that_hangs_is_the_step_that_fails(hosts: Hosts) -> None:
    hosts.far_host.shell("kill -STOP $(cat /run/docker.pid)")
    try:
        taken = await steps(hosts, hosts.target(Way()))
    finally:
        hosts.far_host.shell("kill -CONT $(cat /run/docker.pid)")
    assert [step.step for step in taken] == ALL[:6]
    assert not taken[-1].ok


async def test_a_clock_that_is_an_hour_off_is_told(hosts: Hosts) -> None:
    clock = ManualClock()
    taken = [
        step
        async for step in examine("gpu1", hosts.target(Way()), runtime_dir=hosts.runtime_dir, clock=clock)
    ]
    (clock_step,) = (step for step in taken if step.step == "clock")
    assert clock_step.ok
    assert "ahead of ours" in clock_step.sentence
    assert clock_step.hint


async def test_a_link_that_works_is_not_disturbed(hosts: Hosts) -> None:
    watched = await hosts.ready()
    before = len(watched.statuses)
    await asyncio.gather(*(steps(hosts, hosts.target(Way())) for _ in range(2)))
    assert watched.statuses[before:] == []
    assert await watched.link.run("echo still here", 60) == "still here\n"


async def test_steps_that_nobody_waits_for_leave_nothing(hosts: Hosts) -> None:
    taken = examine("gpu1", hosts.target(Way()), runtime_dir=hosts.runtime_dir, clock=SystemClock())
    assert (await anext(taken)).ok
    await taken.aclose()  # type: ignore[attr-defined]


async def test_steps_to_a_port_with_tls(hosts: Hosts, tmp_path: Path) -> None:
    certs = hosts.far_host.certificates(tmp_path / "certs")
    tls = Tls(certs / "ca.pem", certs / "cert.pem", certs / "key.pem", verify=True)
    target = PlainTarget(hosts.far_host.tls_url, tls)
    taken = await steps(hosts, target)
    assert [step.step for step in taken] == ["name", "server", "login", "engine", "clock", "round trip"]
    assert all(step.ok for step in taken)
    (certs / "ca.pem").unlink()
    (failed,) = await steps(hosts, target)
    assert (failed.step, failed.ok) == ("this machine", False)
    taken = await steps(hosts, PlainTarget(hosts.far_host.tls_url, insecure=True))
    assert [(step.step, step.ok) for step in taken] == [("name", True), ("server", True), ("login", False)]


async def test_steps_to_a_socket(hosts: Hosts, docker_engine: str, tmp_path: Path) -> None:
    taken = await steps(hosts, PlainTarget(docker_engine))
    assert [step.step for step in taken] == ["docker socket", "engine", "clock", "round trip"]
    (failed,) = await steps(hosts, PlainTarget(f"unix://{tmp_path}/nothing.sock"))
    assert (failed.step, failed.ok) == ("docker socket", False)
