"""Links to engines that listen themselves: sockets, ports, TLS, and what goes wrong with each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trustme

from bacalhau_jupyter.engines.docker.connecting import open_client
from bacalhau_jupyter.engines.docker.endpoints import Tls
from bacalhau_jupyter.engines.docker.link import keeper
from bacalhau_jupyter.engines.docker.link.plain import PlainLink
from bacalhau_jupyter.engines.docker.link.target import PlainTarget
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.plugins.link import HostStatus
from tests.engines.docker.link.conftest import Watched
from tests.services.far_host import FarHost

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("no_leaks")]
READY, UNREACHABLE, REFUSED = HostState.READY, HostState.UNREACHABLE, HostState.REFUSED


@contextlib.asynccontextmanager
async def linked(target: PlainTarget) -> AsyncIterator[Watched]:
    link = PlainLink("gpu2", target, clock=SystemClock())
    watched = Watched(link)
    await link.start()
    try:
        yield watched
    finally:
        await link.close()


async def first_status(target: PlainTarget) -> HostStatus:
    async with linked(target) as watched:
        return await watched.comes_to(READY, UNREACHABLE, REFUSED)


def files(directory: Path, verify: bool = True) -> Tls:
    return Tls(directory / "ca.pem", directory / "cert.pem", directory / "key.pem", verify)


async def test_a_socket_of_this_machine(docker_engine: str) -> None:
    async with linked(PlainTarget(docker_engine)) as watched:
        assert (await watched.comes_to(READY)).way == "socket"
        with pytest.raises(NotImplementedHere, match="leads to its Docker Engine only"):
            await watched.link.run("true", 5)


async def test_a_port_with_tls(far_host: FarHost, tmp_path: Path) -> None:
    target = PlainTarget(far_host.tls_url, files(far_host.certificates(tmp_path / "certs")))
    async with linked(target) as watched:
        assert (await watched.comes_to(READY)).way == "tcp with TLS"

        def name() -> str:
            engine = open_client(watched.link.endpoint, {})
            try:
                return str(engine.info()["Name"])
            finally:
                engine.close()

        assert await asyncio.to_thread(name) == far_host.name


async def test_packets_that_vanish_are_noticed_without_a_call(far_host: FarHost, tmp_path: Path) -> None:
    target = PlainTarget(far_host.tls_url, files(far_host.certificates(tmp_path / "certs")))
    async with linked(target) as watched:
        await watched.comes_to(READY)
        before = len(watched.statuses)
        far_host.cut()
        lost = await watched.comes_to(UNREACHABLE, since=before)
        assert lost.problem.startswith("gpu2 does not answer since ")
        far_host.heal()
        await watched.comes_to(READY, since=before)


async def test_an_engine_that_stops_is_noticed_without_a_call(far_host: FarHost, tmp_path: Path) -> None:
    target = PlainTarget(far_host.tls_url, files(far_host.certificates(tmp_path / "certs")))
    async with linked(target) as watched:
        await watched.comes_to(READY)
        before = len(watched.statuses)
        far_host.stop_docker()
        lost = await watched.comes_to(UNREACHABLE, since=before)
        assert lost.problem == "nothing listens on port 2376 of gpu2"
        assert lost.is_engine_off
        far_host.start_docker()
        await watched.comes_to(READY, since=before)


@pytest.mark.parametrize("path", ["nothing.sock", "closed.sock"])
async def test_a_socket_at_which_no_engine_listens(path: str, tmp_path: Path) -> None:
    if path == "closed.sock":
        with socket.socket(socket.AF_UNIX) as closed:
            closed.bind(str(tmp_path / path))
    status = await first_status(PlainTarget(f"unix://{tmp_path / path}"))
    assert status.state is UNREACHABLE
    assert str(tmp_path / path) in status.problem
    assert "gpu2" in status.problem
    assert status.is_engine_off


async def test_a_port_that_wants_tls(far_host: FarHost) -> None:
    status = await first_status(PlainTarget(far_host.tls_url, insecure=True))
    assert (status.state, status.problem) == (REFUSED, "the port of gpu2 wants TLS")
    assert "--tls DIRECTORY" in status.hint


async def test_a_certificate_of_another_ca(far_host: FarHost, tmp_path: Path) -> None:
    certs = far_host.certificates(tmp_path / "certs")
    trustme.CA().cert_pem.write_to_path(str(certs / "ca.pem"))
    status = await first_status(PlainTarget(far_host.tls_url, files(certs)))
    assert status.state is REFUSED
    assert status.problem == f"gpu2 can't be used: its certificate is not signed by {certs}/ca.pem"
    assert (await first_status(PlainTarget(far_host.tls_url, files(certs, verify=False)))).state is READY


async def test_a_certificate_that_the_engine_does_not_know(far_host: FarHost, tmp_path: Path) -> None:
    certs = far_host.certificates(tmp_path / "certs", trustme.CA())
    status = await first_status(PlainTarget(far_host.tls_url, files(certs)))
    assert status.state is REFUSED
    assert "refuse" in status.problem
    assert "cert.pem" in status.problem


async def test_no_certificate_of_our_own(far_host: FarHost, tmp_path: Path) -> None:
    certs = far_host.certificates(tmp_path / "certs")
    (certs / "cert.pem").unlink()
    (certs / "key.pem").unlink()
    status = await first_status(PlainTarget(far_host.tls_url, files(certs)))
    assert status.state is REFUSED
    assert "refuse" in status.problem


@pytest.mark.parametrize("missing", ["ca.pem", "cert.pem", "key.pem"])
async def test_a_file_that_is_missing_is_named_and_its_coming_is_noticed(
    missing: str, far_host: FarHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "WATCH_S", 0.1)
    certs = far_host.certificates(tmp_path / "certs")
    (certs / missing).rename(certs / "hidden")
    async with linked(PlainTarget(far_host.tls_url, files(certs))) as watched:
        status = await watched.comes_to(READY, UNREACHABLE, REFUSED)
        assert status.problem == f"gpu2 can't be reached: the file {certs / missing} does not exist"
        (certs / "hidden").rename(certs / missing)
        await watched.comes_to(READY)


async def test_a_file_that_holds_something_else(far_host: FarHost, tmp_path: Path) -> None:
    certs = far_host.certificates(tmp_path / "certs")
    (certs / "key.pem").write_text("nothing")
    status = await first_status(PlainTarget(far_host.tls_url, files(certs)))
    assert status.state is REFUSED
    assert status.problem.startswith("gpu2 can't be reached: its certificates can't be used")


@contextlib.contextmanager
def tls_server(ca: trustme.CA, name: str, **dates: object) -> Iterator[int]:
    """Listen with TLS and a certificate for ``name``; whoever connects gets nothing."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name, **dates).configure_cert(context)  # type: ignore[arg-type]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
                        pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


async def test_a_certificate_for_another_name_or_of_another_time(tmp_path: Path) -> None:
    import datetime

    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    for name, dates, words in (
        ("elsewhere.invalid", {}, "IP address mismatch"),
        ("127.0.0.1", {"not_after": past}, "certificate has expired"),
    ):
        with tls_server(ca, name, **dates) as port:
            status = await first_status(PlainTarget(f"tcp://127.0.0.1:{port}", files(tmp_path)))
        assert status.state is REFUSED
        assert words in status.problem


async def test_a_port_that_does_not_speak_tls(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        target = PlainTarget(f"tcp://127.0.0.1:{listener.getsockname()[1]}", files(tmp_path))
        status = await first_status(target)
        thread.join()
    assert (status.state, status.problem) == (REFUSED, "gpu2 can't be used: this port does not speak TLS")


async def test_a_name_that_nobody_has_and_a_port_that_nobody_has() -> None:
    status = await first_status(PlainTarget("tcp://nobody.invalid:2375", insecure=True))
    assert status.problem == 'no machine is called "nobody.invalid" (asked for gpu2)'
    with socket.socket() as silent:
        # Nobody else can listen at it either.
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        status = await first_status(PlainTarget(f"tcp://127.0.0.1:{port}"))
    assert status.problem == f"nothing listens on port {port} of gpu2"
