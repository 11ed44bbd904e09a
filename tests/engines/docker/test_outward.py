"""Containers with a network of type ``HTTP``: what they reach, and every way round that a job might try."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.files.placement import Placement
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType
from bacalhau_jupyter.plugins.logfile import read_frames
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.docker.conftest import Node, execution_of
from tests.engines.network.web import looking_up, web_server
from tests.services import leaks
from tests.services.waiting import until

pytestmark = pytest.mark.docker

EVERYWHERE = ".example.com"


@pytest.fixture
def server() -> Iterator[int]:
    """A web server on every address of this machine, which stands for one of the internet; its port."""
    with web_server(
        lambda request: (
            f"{request.headers['Host']} {request.path} {request.headers.get('X-Bacalhau-Job-ID')}\n"
        )
    ) as port:
        yield port


@pytest.fixture
async def outward(docker_engine: str, tmp_path: Path, server: int) -> AsyncIterator[Node]:
    options = PluginOptions(node_id=f"n-out-{uuid.uuid4()}", data_dir=tmp_path)
    leaks.owns(options.node_id)
    engine = DockerEngine(
        options,
        env={"DOCKER_HOST": docker_engine},
        reach=looking_up(server, "good.example.com", "www.good.example.com"),
    )
    assert (await engine.probe()).available
    it = Node(engine, tmp_path, docker_engine, options)
    yield it
    for identifier in it.requests:
        await it.engine.clean(identifier)
    await it.engine.close()
    assert not it.containers()


def http_network(*domains: str) -> NetworkConfig:
    return NetworkConfig(type=NetworkType.HTTP, domains=list(domains))


async def shell(node: Node, image: str, script: str, *domains: str) -> tuple[int, str, str]:
    """Run a script; return its exit code, and stdout and stderr as people see them."""
    request = node.request(
        {"Image": image, "Entrypoint": ["/bin/sh", "-c", script]}, network=http_network(*domains)
    )
    await node.engine.start(request)
    outcome = await node.engine.wait(request.execution.id)
    assert outcome.error is None, outcome.error
    seen = {1: b"", 2: b""}
    for frame in read_frames(request.log_path):
        if frame.shown_in in seen:
            seen[frame.shown_in] += frame.data
    await node.engine.clean(request.execution.id)
    return outcome.exit_code, seen[1].decode(), seen[2].decode()


async def test_an_allowed_host_answers_and_is_told_the_job(outward: Node, busybox_image: str) -> None:
    script = "wget -q -O - http://good.example.com/a?b"
    code, stdout, stderr = await shell(outward, busybox_image, script, "good.example.com")
    assert (code, stdout, stderr) == (0, "good.example.com /a?b j-test\n", "")


async def test_a_blocked_request_is_told_in_the_log(outward: Node, busybox_image: str) -> None:
    script = "wget -q -O - http://bad.example.com/; wget -q -O - http://bad.example.com/"
    code, stdout, stderr = await shell(outward, busybox_image, script, "good.example.com")
    assert (code, stdout) == (1, "")
    assert stderr.count("403") == 2
    sentence = (
        "bacalhau: this job may not reach bad.example.com:80: its Network.Domains are good.example.com\n"
    )
    assert stderr.count(sentence) == 1


async def test_nothing_but_the_proxy_is_reached(outward: Node, busybox_image: str, server: int) -> None:
    """Each line is a way round; the control shows that the first works with a bridge, which has its own address."""
    find = "ip route | awk '/default/ { print $3 }'"
    ask = "printf 'GET / HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n'"

    def reach_host(patience_s: int) -> str:
        return f"{ask} | nc -w {patience_s} $HOST_ADDRESS {server} 2>/dev/null | grep -q 200 && echo"

    control = outward.request(
        {
            "Image": busybox_image,
            "Entrypoint": ["/bin/sh", "-c", f"HOST_ADDRESS=$({find}); {reach_host(60)} $HOST_ADDRESS"],
        },
        network=NetworkConfig(type=NetworkType.BRIDGE),
    )
    await outward.engine.start(control)
    await outward.engine.wait(control.execution.id)
    (address, *_) = (frame.data.decode().strip() for frame in read_frames(control.log_path))
    assert address
    script = f"""
    HOST_ADDRESS={address}
    ip -o addr | grep -v ': lo ' && echo another interface
    ip route | grep . && echo a route
    {reach_host(3)} the host by its address on the bridge
    nc -w 2 8.8.8.8 53 </dev/null 2>/dev/null && echo an address of the internet
    nslookup -timeout=1 good.example.com 8.8.8.8 >/dev/null 2>&1 && echo a name server
    nslookup -timeout=1 good.example.com 127.0.0.11 >/dev/null 2>&1 && echo the name server of the engine
    nc -w 2 fe80::1%lo 80 </dev/null 2>/dev/null && echo link-local IPv6
    ls -d /.bacalhau* 2>/dev/null
    true
    """
    assert await shell(outward, busybox_image, script, EVERYWHERE) == (0, "", "")


async def test_a_running_job_keeps_its_way_out_while_the_node_is_away_and_all_goes_with_it(
    outward: Node, busybox_image: str, server: int
) -> None:
    script = "while ! [ -e /tmp/stop ]; do wget -q -O - http://good.example.com/ || exit 1; sleep 0.2; done"
    request = outward.request(
        {"Image": busybox_image, "Entrypoint": ["/bin/sh", "-c", script]},
        network=http_network("good.example.com"),
    )
    await outward.engine.start(request)

    def count() -> int:
        return len(list(read_frames(request.log_path)))

    async def has_answers() -> bool:
        return count() > expected

    expected = 1
    await until(has_answers)
    await outward.engine.close()
    outward.engine = DockerEngine(
        outward.options,
        env={"DOCKER_HOST": outward.url},
        reach=looking_up(server, "good.example.com", "www.good.example.com"),
    )
    await outward.engine.probe()
    assert await outward.engine.attach(request)
    expected = count() + 2
    await until(has_answers)
    assert len(outward.containers()) == 2
    await outward.engine.cancel(request.execution.id)
    outcome = await outward.engine.wait(request.execution.id)
    assert outcome.exit_code == 137 or outcome.error is None
    await outward.engine.clean(request.execution.id)
    assert not outward.containers()


async def test_what_an_earlier_node_left_is_found_and_removed(
    outward: Node, busybox_image: str, server: int
) -> None:
    request = outward.request(
        {"Image": busybox_image, "Entrypoint": ["sleep", "60"]}, network=http_network("good.example.com")
    )
    await outward.engine.start(request)
    await outward.engine.close()
    outward.engine = outward.another()
    await outward.engine.probe()
    assert await outward.engine.existing() == [request.execution.id]
    await outward.engine.cancel(request.execution.id)
    await outward.engine.clean(request.execution.id)
    assert not outward.containers()


async def test_a_program_that_is_not_in_the_image_leaves_no_network_behind(
    outward: Node, busybox_image: str
) -> None:
    request = outward.request(
        {"Image": busybox_image, "Entrypoint": ["/no/such/program"]}, network=http_network("a.example.com")
    )
    with pytest.raises(EngineError, match="no such file"):
        await outward.engine.start(request)
    assert not outward.containers()


async def test_a_list_without_domains_is_refused_at_the_bid(outward: Node, busybox_image: str) -> None:
    bid = await outward.engine.bid(execution_of({"Image": busybox_image}, http_network()))
    assert not bid.accepted
    assert "at least one domain is required" in bid.reason


async def test_an_engine_that_does_not_see_our_disk_gives_no_such_network(
    outward: Node, busybox_image: str
) -> None:
    engine = DockerEngine(outward.options, env={"DOCKER_HOST": outward.url}, placement=Placement.ARCHIVE)
    await engine.probe()
    bid = await engine.bid(execution_of({"Image": busybox_image}, http_network("a.example.com")))
    assert not bid.accepted
    assert "does not see this node's disk" in bid.reason
    await engine.close()
