"""Processes with a network of type ``HTTP``: what they reach, and every way round that a job might try."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.process import ProcessEngine
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType
from bacalhau_jupyter.plugins.logfile import read_frames
from tests.engines.network.web import looking_up, web_server
from tests.engines.process.bench import SYSTEM_PYTHON, TIERS, Bench, make_execution
from tests.services.waiting import until

pytestmark = pytest.mark.process

GET = (
    "import sys, urllib.request as r\n"
    "for url in sys.argv[1:]:\n"
    "    try:\n        print(r.urlopen(url, timeout=60).read().decode(), flush=True)\n"
    "    except Exception as error:\n        print('failed', getattr(error, 'code', error), flush=True)\n"
)


@pytest.fixture
def server() -> Iterator[int]:
    """A web server on every address of this machine, which stands for one of the internet; its port."""
    with web_server(
        lambda request: f"{request.headers['Host']} {request.headers.get('X-Bacalhau-Job-ID')}"
    ) as port:
        yield port


@pytest.fixture
async def outward(tmp_path: Path, server: int) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path, TIERS["bubblewrap"]())
    bench.engine = ProcessEngine(
        bench.options, tiers=[TIERS["bubblewrap"]()], reach=looking_up(server, "good.example.com")
    )
    problem = await bench.open()
    if problem or SYSTEM_PYTHON is None:
        pytest.skip(problem or "no Python in the system directories")
    yield bench
    await bench.close()


def http_network(*domains: str) -> NetworkConfig:
    return NetworkConfig(type=NetworkType.HTTP, domains=list(domains))


async def run(bench: Bench, code: str, *arguments: str) -> tuple[int, str, str]:
    """Run Python code that may reach good.example.com; return exit code, and what people see of its output."""
    request = bench.request(
        [str(SYSTEM_PYTHON), "-c", code, *arguments], network=http_network("good.example.com")
    )
    await bench.engine.start(request)
    outcome = await bench.engine.wait(request.execution.id)
    seen = {1: b"", 2: b""}
    for frame in read_frames(request.log_path):
        if frame.shown_in in seen:
            seen[frame.shown_in] += frame.data
    assert outcome.error is None, (outcome.error, seen)
    await bench.engine.clean(request.execution.id)
    return outcome.exit_code, seen[1].decode(), seen[2].decode()


async def test_an_allowed_host_answers_and_a_refusal_is_told_in_the_log(outward: Bench) -> None:
    urls = ("http://good.example.com/", "http://bad.example.com/", "https://bad.example.com/")
    code, stdout, stderr = await run(outward, GET, *urls)
    assert code == 0
    first, second, third = stdout.splitlines()
    assert first == "good.example.com j-1"
    assert second == "failed 403"
    assert "403" in third
    assert stderr == (
        "bacalhau: this job may not reach bad.example.com:80: its Network.Domains are good.example.com\n"
        "bacalhau: this job may not reach bad.example.com:443: its Network.Domains are good.example.com\n"
    )


async def test_nothing_but_the_proxy_is_reached(outward: Bench, server: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    tries = [(own, server), ("127.0.0.1", server), ("8.8.8.8", 53), ("169.254.169.254", 80), ("::1", server)]
    code = (
        f"import socket, os\nfor place in {tries!r}:\n"
        "    try:\n        socket.create_connection(place, 3)\n        print('reached', place)\n"
        "    except OSError:\n        pass\n"
        "try:\n    print(socket.getaddrinfo('good.example.com', 80))\nexcept OSError:\n    pass\n"
        "print([name for _, name in socket.if_nameindex()])\n"
        "print([name for name in os.listdir('/proc') if name.isdigit() and "
        "open(f'/proc/{name}/cmdline').read() == 'holder\\0'])\n"
    )
    assert await run(outward, code) == (0, "['lo']\n[]\n", "")
    # The control: from here the server is reached.
    socket.create_connection((own, server), 60).close()


async def test_a_running_job_keeps_its_way_out_while_the_node_is_away(outward: Bench, server: int) -> None:
    code = "import time\n" + GET.replace(
        "for url in sys.argv[1:]:", "while url := sys.argv[1]:\n    time.sleep(.1)"
    )
    request = outward.request(
        [str(SYSTEM_PYTHON), "-c", code, "http://good.example.com/"], network=http_network("good.example.com")
    )
    await outward.engine.start(request)

    def count() -> int:
        return len(list(read_frames(request.log_path)))

    await until(lambda: count() > 1)
    await outward.engine.close()
    outward.engine = ProcessEngine(
        outward.options, tiers=[TIERS["bubblewrap"]()], reach=looking_up(server, "good.example.com")
    )
    await outward.engine.probe()
    assert await outward.engine.attach(request)
    expected = count() + 3
    await until(lambda: count() > expected)
    await outward.engine.cancel(request.execution.id)
    await outward.engine.wait(request.execution.id)
    assert b"failed" not in b"".join(frame.data for frame in read_frames(request.log_path))
    await outward.engine.clean(request.execution.id)
    assert not _holders(request.execution.id)


async def test_what_listens_for_a_job_goes_with_it(outward: Bench) -> None:
    request = outward.request(["/bin/sleep", "30"], network=http_network("good.example.com"))
    await outward.engine.start(request)
    await until(lambda: _holders(request.execution.id))
    await outward.engine.cancel(request.execution.id)
    await outward.engine.wait(request.execution.id)
    await asyncio.to_thread(lambda: None)
    assert not _holders(request.execution.id)


async def test_a_tier_without_networks_refuses_such_a_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, TIERS["restricted"]())
    if problem := await bench.open():
        pytest.skip(problem)
    bid = await bench.engine.bid(make_execution(["true"], network=http_network("a.example.com")))
    assert not bid.accepted
    assert "offers process jobs no HTTP network (None and Host are possible in a restricted" in bid.reason
    await bench.close()


async def test_a_list_without_domains_is_refused_at_the_bid(outward: Bench) -> None:
    bid = await outward.engine.bid(make_execution(["true"], network=http_network()))
    assert not bid.accepted
    assert "at least one domain is required" in bid.reason


def _holders(execution_id: str) -> list[int]:
    """Return the processes of an execution that hold its network."""
    pids = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if command == b"holder\0" and execution_id.encode() in (entry / "environ").read_bytes():
                pids.append(int(entry.name))
        except OSError:
            continue
    return pids
