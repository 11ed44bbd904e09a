"""The holder's program, which is machine code, with the node's side of it."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.network import holder
from bacalhau_jupyter.engines.network.domains import Domains
from bacalhau_jupyter.engines.network.doors import SOCKET, Doors, _Door, _listen
from bacalhau_jupyter.engines.network.proxy import CONNECTIONS, REFUSALS, Rules
from bacalhau_jupyter.transfer.core.reach import Reach
from tests.services.waiting import settled, until

TIMEOUT_S = 60.0
RULES = Rules("j-1", Domains(["good.example"]), Reach(), lambda reason: None)


@pytest.fixture
def doors() -> Iterator[Doors]:
    it = Doors()
    yield it
    it.stop()


@pytest.fixture
def started(tmp_path: Path, unused_tcp_port: int) -> Iterator[int]:
    """A holder that runs, and where it listens."""
    program = tmp_path / "holder"
    program.write_bytes(holder.program(str(tmp_path / "d" / SOCKET), unused_tcp_port))
    program.chmod(0o755)
    process = subprocess.Popen([program])
    yield unused_tcp_port
    assert process.poll() is None, "it must not end by itself"
    process.kill()
    process.wait()


async def refusal(port: int) -> str:
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET http://bad.example/ HTTP/1.1\r\n\r\n")
        answer = (await reader.read()).decode()
        writer.close()
        return answer


async def test_the_node_answers_where_the_holder_listens(doors: Doors, tmp_path: Path, started: int) -> None:
    await asyncio.to_thread(doors.open, "e-1", tmp_path / "d", RULES)
    assert await asyncio.to_thread(doors.wait_ready, "e-1", TIMEOUT_S)
    assert "bad.example:80" in await refusal(started)
    await asyncio.to_thread(doors.close, "e-1")
    assert not doors.wait_ready("e-1", 0)


async def test_what_is_asked_while_the_node_is_away_is_answered_afterwards(
    doors: Doors, tmp_path: Path, started: int
) -> None:
    before = Doors()
    await asyncio.to_thread(before.open, "e-1", tmp_path / "d", RULES)
    assert await asyncio.to_thread(before.wait_ready, "e-1", TIMEOUT_S)
    await asyncio.to_thread(before.stop)
    asked = asyncio.create_task(refusal(started))
    await asyncio.sleep(0)
    await asyncio.to_thread(doors.open, "e-1", tmp_path / "d", RULES)
    assert "bad.example:80" in await asked


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_door_opens_in_a_directory_with_a_long_path(tmp_path: Path, platform: str) -> None:
    if platform == "linux" != sys.platform:
        pytest.skip("other systems have no /proc")
    place = tmp_path / ("long" * 30) / "d"
    with _listen(place, platform):
        assert (place / SOCKET).is_socket()


@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems bind through a link in the temporary directory"
)
def test_a_door_needs_no_temporary_directory_where_there_is_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clusters for computing set it to long paths, and some containers have none that can be written to."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with _listen(tmp_path / "d"):
        assert (tmp_path / "d" / SOCKET).is_socket()


async def test_who_hands_over_no_listening_socket_is_let_go(doors: Doors, tmp_path: Path) -> None:
    await asyncio.to_thread(doors.open, "e-1", tmp_path / "d", RULES)
    with socket.socket() as connected, (tmp_path / "file").open("w") as file:
        for descriptors in ([connected.fileno()], [file.fileno()], []):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.settimeout(TIMEOUT_S)
                stranger.connect(str(tmp_path / "d" / SOCKET))
                socket.send_fds(stranger, [b"x"], descriptors)
                assert stranger.recv(1) == b""
    assert not doors.wait_ready("e-1", 0)


async def test_who_has_handed_over_nothing_yet_is_let_go_with_the_door(doors: Doors, tmp_path: Path) -> None:
    await asyncio.to_thread(doors.open, "e-1", tmp_path / "d", RULES)
    with socket.socket(socket.AF_UNIX) as slow:
        slow.settimeout(TIMEOUT_S)
        slow.connect(str(tmp_path / "d" / SOCKET))
        # The door has greeted both when it answers the second.
        with socket.socket(socket.AF_UNIX) as other:
            other.settimeout(TIMEOUT_S)
            other.connect(str(tmp_path / "d" / SOCKET))
            other.send(b"x")
            assert other.recv(1) == b""
        await asyncio.to_thread(doors.close, "e-1")
        assert slow.recv(1) == b""


async def test_a_socket_is_closed_also_where_the_door_is_closed_as_it_arrives(tmp_path: Path) -> None:
    door = _Door(tmp_path / "d", RULES)
    with socket.socket() as listening, socket.socket(socket.AF_UNIX) as holding:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        holding.connect(str(tmp_path / "d" / SOCKET))
        socket.send_fds(holding, [b"x"], [listening.fileno()])
        for _ in range(1000):
            if door.ready.is_set():
                break
            await asyncio.sleep(0)
        assert door.ready.is_set()
        with warnings.catch_warnings(record=True) as left_open:
            warnings.simplefilter("always")
            await door.close()
            gc.collect()
    assert [str(each.message) for each in left_open] == []


def test_a_door_that_closes_while_all_stop_is_closed_at_the_end(tmp_path: Path) -> None:
    for number in range(50):
        doors, place = Doors(), tmp_path / str(number)
        doors.open("e-1", place, RULES)
        with socket.socket() as listening, socket.socket(socket.AF_UNIX) as holding:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            holding.connect(str(place / SOCKET))
            socket.send_fds(holding, [b"x"], [listening.fileno()])
            assert doors.wait_ready("e-1", TIMEOUT_S)
            serving = doors._doors["e-1"]._serving
            with ThreadPoolExecutor(1) as others:
                closing = others.submit(doors.close, "e-1")
                doors.stop()
                closing.result(TIMEOUT_S)
        assert serving is not None and serving.done()


async def test_a_job_that_floods_its_network_holds_few_descriptors_of_the_node(
    doors: Doors, tmp_path: Path, started: int
) -> None:
    await asyncio.to_thread(doors.open, "e-1", tmp_path / "d", RULES)
    assert await asyncio.to_thread(doors.wait_ready, "e-1", TIMEOUT_S)
    before = len(list(Path("/proc/self/fd").iterdir()))
    flood = [socket.socket() for _ in range(400)]

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir())) - before - len(flood)

    for client in flood:
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", started))
    await until(lambda: descriptors() > 0)
    taken = await settled(descriptors)
    for client in flood:
        client.close()
    assert 0 < taken <= CONNECTIONS + REFUSALS + 10
    # Those of the flood that still wait come first.
    for _ in range(100):
        answer = await refusal(started)
    assert "bad.example:80" in answer


async def test_a_long_path_is_no_problem(doors: Doors, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120) / "d"
    await asyncio.to_thread(doors.open, "e-1", deep, RULES)
    assert (deep / SOCKET).is_socket()
    assert not os.access(tmp_path / "no", os.F_OK)


def test_both_kinds_of_processor_get_the_same_calls() -> None:
    sizes = {machine: len(holder.program("/d", 3128, machine)) for machine in ("x86_64", "aarch64")}
    assert sizes["x86_64"] == sizes["aarch64"], (
        "the data, which follow the code at a fixed place, are the same"
    )
    assert holder.program("/d", 3128, "aarch64")[:20].hex() == "7f454c4602010100" + "00" * 8 + "0200b700"
    assert not holder.is_supported("riscv64")


class Exhausted:
    """A listening socket of a process that has no descriptor left for a while."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening, self.refused, self.refuses = listening, 0, True

    def fileno(self) -> int:
        return self.listening.fileno()

    def accept(self) -> tuple[socket.socket, object]:
        if self.refuses:
            self.refused += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self.listening.accept()

    def close(self) -> None:
        self.listening.close()


async def test_a_holder_waits_while_there_are_no_descriptors_and_keeps_no_processor_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = _Door(tmp_path / "d", RULES)
    exhausted = Exhausted(door._socket)
    monkeypatch.setattr(door, "_socket", exhausted)
    monkeypatch.setattr("bacalhau_jupyter.engines.network.doors.RETRY_S", 3600.0)
    with socket.socket(socket.AF_UNIX) as there, socket.create_server(("127.0.0.1", 0)) as way:
        there.connect(str(tmp_path / "d" / SOCKET))
        await until(lambda: exhausted.refused)
        for _ in range(100):
            await asyncio.sleep(0)
        assert exhausted.refused == 1 and door._pause is not None
        door._pause.cancel()
        exhausted.refuses = False
        door._look_out()
        socket.send_fds(there, [b"\0"], [way.fileno()])
        await until(door.ready.is_set)
    await door.close()
