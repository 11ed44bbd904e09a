"""A node that speaks HTTPS with a certificate of its own, and everything that people and programs reach it by."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import read_record
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError
from tests.node.test_node import noop, result_url, run
from tests.services.common import wait_until
from tests.services.node import ServedNode, running_node, start_node
from tests.tls.files import ca_file, expired_pair, write_pair

pytestmark = pytest.mark.process

MakeConfig = Callable[..., Config]
LIMIT_S = 60


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """A node with an authority of its own, and the web page."""
    node = start_node(
        tmp_path_factory.mktemp("own") / "repo",
        *("-c", "API.TLS.SelfSigned=true", "-c", "WebUI.Enabled=true", "-c", "WebUI.Listen=127.0.0.1:0"),
    )
    yield node
    node.stop()


def authority(node: ServedNode) -> Path:
    return node.repo.tls_dir / "ca.pem"


def program(node: ServedNode, *command: str, home: Path) -> str:
    """Run a program that knows nothing but the address and the authority's file; return what it printed."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "BACALHAU_API_KEY": node.key}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_curl_accepts_the_certificate(own: ServedNode, tmp_path: Path, host: str) -> None:
    url = f"https://{host}:{own.port}/api/v1/agent/alive"
    assert "OK" in program(own, "curl", "-sSf", "--cacert", str(authority(own)), url, home=tmp_path)


def test_node_js_accepts_the_certificate(own: ServedNode, tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    script = (
        f"require('https').get({{host: 'localhost', port: {own.port}, path: '/api/v1/agent/alive', "
        f"ca: require('fs').readFileSync('{authority(own)}')}}, answer => {{ "
        "console.log(answer.statusCode); process.exit() })"
    )
    assert program(own, "node", "-e", script, home=tmp_path).strip() == "200"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_python_accepts_the_certificate_by_its_strictest_rules(
    own: ServedNode, tmp_path: Path, host: str
) -> None:
    script = (
        "import ssl, sys, urllib.request\n"
        "context = ssl.create_default_context(cafile=sys.argv[1])\n"
        "context.verify_flags |= ssl.VERIFY_X509_STRICT\n"
        "print(urllib.request.urlopen(sys.argv[2], context=context).status)"
    )
    url = f"https://{host}:{own.port}/api/v1/agent/alive"
    assert (
        program(own, sys.executable, "-c", script, str(authority(own)), url, home=tmp_path).strip() == "200"
    )


STOCK = os.environ.get("BACALHAU_STOCK_BINARY", "")
QUIET = ("-c", "DisableAnalytics=true", "-c", "UpdateConfig.Interval=0")


@pytest.mark.skipif(
    not STOCK, reason="BACALHAU_STOCK_BINARY names the official program; it is not part of CI"
)
def test_the_official_client_accepts_the_certificate_and_prints_our_hint(
    own: ServedNode, tmp_path: Path
) -> None:
    address = ("--api-host", "127.0.0.1", "--api-port", str(own.port))
    trust = ("-c", "API.TLS.UseTLS=true", "-c", f"API.TLS.CAFile={authority(own)}")
    assert "CONNECTED" in program(own, STOCK, *QUIET, *address, *trust, "node", "list", home=tmp_path)
    spec = tmp_path / "job.yaml"
    spec.write_text("{Name: hello, Type: batch, Count: 1, Tasks: [{Name: main, Engine: {Type: noop}}]}")
    assert "Completed" in program(
        own, STOCK, *QUIET, *address, *trust, "job", "run", str(spec), home=tmp_path
    )
    done = subprocess.run(
        [STOCK, *QUIET, *address, "node", "list"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "other")},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode != 0
    assert "this address speaks HTTPS, not HTTP" in done.stderr + done.stdout
    assert "API.TLS.UseTLS" in done.stderr + done.stdout


def test_our_own_clients_of_this_machine_need_no_setting(own: ServedNode) -> None:
    with Client(data_dir=str(own.repo.path)) as client:
        assert client.endpoint.url == f"https://127.0.0.1:{own.port}"
        spec = noop(Publisher={"Type": "local"})["Job"] | {"Name": "encrypted"}
        job = client.submit(spec)
        # Requests, a websocket, and the download of a result.
        job.wait()
        assert "".join(job.logs()).strip() == "hi"
        assert job.result().stdout.strip() == "hi"


def ours(node: ServedNode, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BACALHAU", "HTTP", "HTTPS"))
    }
    return subprocess.run(
        [sys.executable, "-m", "bacalhau_jupyter", *words],
        env=env | {"BACALHAU_API_KEY": node.key} | variables,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.timeout(600)
def test_clients_elsewhere_say_what_is_missing_and_then_work(own: ServedNode, tmp_path: Path) -> None:
    repo = {"BACALHAU_DIR": str(tmp_path / "repo"), "BACALHAU_API_PORT": str(own.port)}
    plain = ours(own, "node", "list", BACALHAU_API_HOST="127.0.0.1", **repo)
    assert "this address speaks HTTPS, not HTTP" in plain.stderr
    secure = repo | {"BACALHAU_API_HOST": "127.0.0.1", "BACALHAU_API_TLS_USETLS": "true"}
    unknown = ours(own, "node", "list", **secure)
    assert "by an authority that this client does not know" in unknown.stderr
    assert "--ca FILE" in unknown.stderr
    assert "Traceback" not in plain.stderr + unknown.stderr
    by_variable = ours(own, "node", "list", BACALHAU_API_TLS_CAFILE=str(authority(own)), **secure)
    assert "CONNECTED" in by_variable.stdout, by_variable.stderr
    insecure = ours(own, "node", "list", BACALHAU_API_TLS_INSECURE="true", **secure)
    assert "CONNECTED" in insecure.stdout, insecure.stderr
    flags = ("-c", "API.TLS.UseTLS", "-c", f"API.TLS.CAFile={authority(own)}")
    by_flag = ours(
        own, "--api-host", "localhost", "--api-port", str(own.port), *flags, "node", "list", **repo
    )
    assert "CONNECTED" in by_flag.stdout, by_flag.stderr


def test_a_saved_connection_carries_the_authority(own: ServedNode, tmp_path: Path) -> None:
    repo = {"BACALHAU_DIR": str(tmp_path / "repo")}
    copy = tmp_path / "copy.pem"
    shutil.copy(authority(own), copy)
    wrong = ours(own, "profile", "save", "own", "--endpoint", f"127.0.0.1:{own.port}", "--ca", "no", **repo)
    assert "can't be used: No such file" in wrong.stderr
    # Without a scheme: who names an authority means HTTPS.
    address = ("--endpoint", f"127.0.0.1:{own.port}", "--ca", str(copy), "--select")
    saved = ours(own, "profile", "save", "own", *address, **repo)
    assert saved.returncode == 0, saved.stderr
    assert str(copy) in ours(own, "profile", "show", **repo).stdout
    listed = ours(own, "node", "list", **repo)
    assert "CONNECTED" in listed.stdout, listed.stderr


async def test_streams_results_and_the_page_are_encrypted_too(node_config: MakeConfig) -> None:
    config = node_config(API__TLS__SelfSigned=True, WebUI__Enabled=True, WebUI__Listen="127.0.0.1:0")
    async with running_node(config) as node:
        assert node.url.startswith("https://127.0.0.1:")
        assert node.page is not None
        assert node.page.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=node.record.ca_file)
        connector = aiohttp.TCPConnector(ssl=context)
        # No key: this process owns the socket, behind TLS as without.
        async with aiohttp.ClientSession(node.url, connector=connector) as session:
            async with session.ws_connect("/api/v1/orchestrator/events?since=0") as events:
                job = await run(session, noop(Publisher={"Type": "local"}))
                assert job in await events.receive_str(timeout=LIMIT_S)
            url = await result_url(session, job)
            assert url.startswith(f"{node.url}/api/v1/")
            async with session.get(url) as answer:
                assert (await answer.read()).startswith(b"\x1f\x8b")
            async with session.get(node.page.url + "/login") as answer:
                assert answer.status == 200
            async with aiohttp.request(
                "GET",
                node.page.url.replace("https", "http") + "/login",
                headers={"Accept": "text/html"},
                allow_redirects=False,
            ) as answer:
                assert (answer.status, answer.headers["Location"]) == (308, node.page.url + "/login")


async def test_a_certificate_of_others_is_believed_here_by_its_file(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    # Its only name is one that this machine is not dialled by.
    pair = write_pair(tmp_path, "node.example.org")
    files = {"API__TLS__CertFile": str(pair.certificate), "API__TLS__KeyFile": str(pair.key)}
    async with running_node(node_config(**files)) as node:
        with Client(data_dir=str(node.repo.path)) as client:
            assert await asyncio.to_thread(client.nodes)
            write_pair(tmp_path, "node.example.org")
            assert node.encryption is not None
            await node.encryption.certificates.look()  # type: ignore[attr-defined]
        # A new connection meets the new certificate, and the file holds it.
        with Client(data_dir=str(node.repo.path)) as client:
            assert await asyncio.to_thread(client.nodes)
        shown = write_pair(tmp_path / "other", "node.example.org")
        pair.certificate.write_bytes(shown.certificate.read_bytes())
        with (
            Client(data_dir=str(node.repo.path)) as client,
            pytest.raises(BacalhauError, match="does not know"),
        ):
            await asyncio.to_thread(client.nodes)


@pytest.mark.parametrize(
    ("names", "host", "sentence"),
    [
        (("node.example.org",), "127.0.0.1", "is for other names than 127.0.0.1"),
        ((), "127.0.0.1", "has expired"),
    ],
)
async def test_a_wrong_certificate_is_refused_in_one_sentence(
    node_config: MakeConfig, tmp_path: Path, names: tuple[str, ...], host: str, sentence: str
) -> None:
    pair = write_pair(tmp_path, *names) if names else expired_pair(tmp_path)
    files = {"API__TLS__CertFile": str(pair.certificate), "API__TLS__KeyFile": str(pair.key)}
    settings = (f"API.TLS.CAFile={ca_file(tmp_path)}", "API.TLS.UseTLS=true")
    async with running_node(node_config(**files)) as node:
        address = (f"API.Host={host}", f"API.Port={node.record.port}")
        client = Client(data_dir=str(tmp_path / "elsewhere"), overrides=(*address, *settings))
        with client, pytest.raises(BacalhauError, match=sentence) as caught:
            await asyncio.to_thread(client.nodes)
        assert caught.value.hint


async def test_https_to_a_plain_node_is_one_sentence(node_config: MakeConfig, tmp_path: Path) -> None:
    async with running_node(node_config()) as node:
        client = Client(f"https://127.0.0.1:{node.record.port}", data_dir=str(tmp_path / "elsewhere"))
        with client, pytest.raises(BacalhauError, match="does not speak HTTPS"):
            await asyncio.to_thread(client.nodes)


@pytest.mark.parametrize("damage", ["missing", "exposed"])
async def test_a_node_does_not_start_with_a_bad_certificate(
    node_config: MakeConfig, tmp_path: Path, damage: str
) -> None:
    pair = write_pair(tmp_path)
    if damage == "missing":
        pair.certificate.unlink()
    else:
        pair.key.chmod(0o644)
    config = node_config(API__TLS__CertFile=str(pair.certificate), API__TLS__KeyFile=str(pair.key))
    with pytest.raises(ConfigurationError, match=r"API\.TLS\."):
        async with running_node(config):
            pass
    # Nothing is left, so the next start works.
    write_pair(tmp_path)
    pair.key.chmod(0o600)
    async with running_node(config):
        pass


def test_a_hang_up_takes_up_new_files_and_open_connections_live_on(tmp_path: Path) -> None:
    pair = write_pair(tmp_path / "files")
    node = start_node(
        tmp_path / "repo",
        *("--tlscert", str(pair.certificate), "--tlskey", str(pair.key)),
    )
    try:
        before = shown_certificate(node)
        with Client(data_dir=str(node.repo.path)) as client:
            assert client.nodes()
            write_pair(tmp_path / "files")
            node.process.send_signal(signal.SIGHUP)
            assert wait_until(lambda: shown_certificate(node) != before, timeout_s=LIMIT_S)
            assert client.nodes()
            pair.key.write_text("no key")
            node.process.send_signal(signal.SIGHUP)
            assert wait_until(lambda: "is still served" in node.tail(), timeout_s=LIMIT_S)
            assert client.nodes()
        assert read_record(Repo(node.repo.path)) is not None
    finally:
        assert node.stop() == 0


def shown_certificate(node: ServedNode) -> str:
    return ssl.get_server_certificate(("127.0.0.1", node.port), timeout=60)
