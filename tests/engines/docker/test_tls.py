"""A Docker Engine behind TCP and TLS, on machines whose other programs trust a CA of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.files.placement import Placement
from bacalhau_jupyter.plugins.engine import EndReason
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.docker.conftest import Node, output_of
from tests.engines.docker.test_follower import until
from tests.services import leaks
from tests.services.far_host import FarHost

BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass
class Secured:
    """A port that leads to the engine, and who may use it."""

    port: int
    ca: trustme.CA
    garble: Callable[[], None]
    """Puts bytes that nobody encrypted into every connection."""

    def env(self, directory: Path, **changes: str) -> dict[str, str]:
        """Return a person's variables, with the files in ``directory``."""
        directory.mkdir(exist_ok=True)
        self.ca.cert_pem.write_to_path(str(directory / "ca.pem"))
        person = self.ca.issue_cert("person@tests.invalid")
        person.private_key_pem.write_to_path(str(directory / "key.pem"))
        person.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
        variables = {
            "DOCKER_HOST": f"tcp://127.0.0.1:{self.port}",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": str(directory),
        }
        return variables | changes


@contextlib.asynccontextmanager
async def secured(
    docker_engine: str, *, name: str = "127.0.0.1", asks_clients: bool = True
) -> AsyncIterator[Secured]:
    """Listen with TLS in front of the engine's socket."""
    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(context)
    ca.configure_trust(context)
    if asks_clients:
        context.verify_mode = ssl.CERT_REQUIRED
    connections = set[asyncio.Task[None]]()
    writers = set[asyncio.StreamWriter]()

    def garble() -> None:
        for writer in writers:
            if writer.transport.is_closing():
                continue
            # Past TLS, as a machine on the way would do it.
            os.write(writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + b"x" * 32)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        writers.add(writer)
        inner, engine = await asyncio.open_unix_connection(docker_engine.removeprefix("unix://"))
        try:
            # The end of the test cancels what is still open.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(copy(reader, engine), copy(inner, writer))
        finally:
            for end in (writer, engine):
                end.close()
                with contextlib.suppress(OSError, ssl.SSLError, asyncio.CancelledError):
                    await end.wait_closed()
            connections.discard(task)
            writers.discard(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield Secured(server.sockets[0].getsockname()[1], ca, garble)
    finally:
        server.close()
        left = list(connections)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@contextlib.asynccontextmanager
async def engine_of(node: Node, env: dict[str, str]) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine(node.options, env=env, home=Path("/nowhere"))
    try:
        yield engine
    finally:
        await engine.close()


@pytest.fixture
def foreign_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the variables of this process name a CA that has nothing to do with the engine's."""
    bundle = tmp_path / "company.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    for variable in BUNDLES:
        monkeypatch.setenv(variable, str(bundle))
    return bundle


async def test_a_job_runs_over_tls_though_the_environment_names_another_ca(
    node: Node, docker_engine: str, busybox_image: str, tmp_path: Path, foreign_bundle: Path
) -> None:
    async with secured(docker_engine) as port, engine_of(node, port.env(tmp_path / "certs")) as engine:
        availability = await engine.probe()
        assert availability.available, availability.problem
        far = Node(engine, node.directory, node.url, node.options)
        done = await far.run({"Image": busybox_image, "Parameters": ["echo", "over TLS"]})
        assert (done.outcome.exit_code, done.stdout) == (0, "over TLS\n")


async def test_a_way_that_breaks_under_tls_ends_no_container(
    node: Node, docker_engine: str, busybox_image: str, tmp_path: Path
) -> None:
    async with secured(docker_engine) as port, engine_of(node, port.env(tmp_path / "certs")) as engine:
        assert (await engine.probe()).available
        script = ["sh", "-c", "echo before; sleep 3; echo after"]
        request = node.request({"Image": busybox_image, "Parameters": script})
        await engine.start(request)
        await until(request.log_path, "before\n")
        port.garble()
        outcome = await asyncio.wait_for(engine.wait(request.execution.id), 60)
        assert (outcome.reason, outcome.exit_code, outcome.error) == (EndReason.EXITED, 0, None)
        assert output_of(request.log_path) == ("before\nafter\n", "", True)
        await engine.clean(request.execution.id)


@pytest.mark.timeout(300)
async def test_a_silent_log_of_a_machine_that_vanished_is_not_read_for_ever(
    far_host: FarHost, tmp_path: Path
) -> None:
    """No packet says that the other end is gone, and none would be sent there: nothing is printed, nothing asked."""
    certs = far_host.certificates(tmp_path / "certs")
    env = {"DOCKER_HOST": far_host.tls_url, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certs)}
    options = PluginOptions(node_id=leaks.owns(f"n-{uuid.uuid4()}"), data_dir=tmp_path)
    engine = DockerEngine(options, env=env, home=Path("/nowhere"), placement=Placement.ARCHIVE)
    assert (await engine.probe()).available
    far = Node(engine, tmp_path, far_host.engine_url, options)
    image = await asyncio.to_thread(far_host.busybox_image)
    request = far.request({"Image": image, "Parameters": ["sh", "-c", "echo up; sleep 600"]})
    await engine.start(request)
    await until(request.log_path, "up\n")
    # Here: the machine ends with the thread that started it.
    far_host.reboot()
    outcome = await asyncio.wait_for(engine.wait(request.execution.id), 120)
    assert outcome.error is not None
    assert outcome.error.message == "the Docker Engine was restarted while the task ran"
    await engine.clean(request.execution.id)
    await engine.close()


async def test_the_sdk_itself_would_trust_the_other_ca(
    docker_engine: str, tmp_path: Path, foreign_bundle: Path
) -> None:
    """The control: made in the SDK's own way, a client does not trust the engine."""
    import docker
    from docker.errors import DockerException
    from docker.tls import TLSConfig

    async with secured(docker_engine) as port:
        certs = Path(port.env(tmp_path / "certs")["DOCKER_CERT_PATH"])
        tls = TLSConfig(
            client_cert=(str(certs / "cert.pem"), str(certs / "key.pem")),
            ca_cert=str(certs / "ca.pem"),
            verify=True,
        )
        with pytest.raises(DockerException, match="certificate verify failed"):
            await asyncio.to_thread(
                docker.APIClient, base_url=f"https://127.0.0.1:{port.port}", tls=tls, version="auto"
            )


async def test_an_engine_that_asks_for_no_certificate_needs_only_its_ca(
    node: Node, docker_engine: str, tmp_path: Path
) -> None:
    async with secured(docker_engine, asks_clients=False) as port:
        env = port.env(tmp_path / "certs")
        for name in ("cert.pem", "key.pem"):
            (tmp_path / "certs" / name).unlink()
        async with engine_of(node, env) as engine:
            availability = await engine.probe()
            assert availability.available, availability.problem


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
async def test_without_verification_any_certificate_will_do(
    node: Node, docker_engine: str, tmp_path: Path, foreign_bundle: Path
) -> None:
    async with secured(docker_engine, name="elsewhere.invalid") as port:
        env = port.env(tmp_path / "certs", DOCKER_TLS_VERIFY="")
        async with engine_of(node, env) as engine:
            availability = await engine.probe()
            assert availability.available, availability.problem


@pytest.mark.parametrize(
    ("break_it", "name", "words"),
    [
        ("ca.pem", "127.0.0.1", "its certificate is not signed by {directory}/ca.pem"),
        ("cert.pem", "127.0.0.1", "refuse this node's certificate (cert.pem"),
        ("", "elsewhere.invalid", "its certificate can't be trusted: IP address mismatch"),
        ("no key", "127.0.0.1", "the certificate file {directory}/key.pem (DOCKER_HOST) does not exist"),
        ("no ca", "127.0.0.1", "the certificate file {directory}/ca.pem (DOCKER_HOST) does not exist"),
        ("no TLS", "127.0.0.1", "if it wants TLS, set DOCKER_TLS_VERIFY=1"),
    ],
)
async def test_what_is_wrong_with_a_certificate_is_said_in_plain_words(
    break_it: str, name: str, words: str, node: Node, docker_engine: str, tmp_path: Path
) -> None:
    certs = tmp_path / "certs"
    async with secured(docker_engine, name=name) as port:
        env = port.env(certs)
        stranger = trustme.CA()
        if break_it == "ca.pem":
            stranger.cert_pem.write_to_path(str(certs / "ca.pem"))
        elif break_it == "cert.pem":
            other = stranger.issue_cert("stranger@tests.invalid")
            other.private_key_pem.write_to_path(str(certs / "key.pem"))
            other.cert_chain_pems[0].write_to_path(str(certs / "cert.pem"))
        elif break_it in ("no key", "no ca"):
            (certs / {"no key": "key.pem", "no ca": "ca.pem"}[break_it]).unlink()
        elif break_it == "no TLS":
            env = {"DOCKER_HOST": env["DOCKER_HOST"]}
        async with engine_of(node, env) as engine:
            availability = await engine.probe()
    assert not availability.available
    assert words.format(directory=certs) in availability.problem
    assert availability.problem.count("\n") == 0
    assert len(availability.problem) < 300
