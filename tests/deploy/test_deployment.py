"""What `docs/deployment.md` tells people to write, taken from the page and run: a team behind a real TLS proxy."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from tests.services.common import wait_until
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode
from tests.services.node_fixtures import factory
from tests.services.ports import free_port
from tests.services.proxies import KINDS, TlsProxy

pytestmark = [pytest.mark.process, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
USERS = ("ada", "ci", "board")
NAME = "localhost"
BIG = 3_000_000
"""Bytes: more than a proxy takes unless it is told to."""


def block(kind: str, mark: str) -> str:
    """Return the block of code of the page in which ``mark`` stands."""
    blocks = [text for text in re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) if mark in text]
    assert len(blocks) == 1, f"{len(blocks)} blocks of {kind} have {mark!r}"
    return blocks[0]


def key_of(user: str) -> str:
    return f"a key of {user} that is long enough"


@dataclass
class Team:
    """A node as on the page, and a proxy in front of it, for the web page on a port of its own."""

    node: ServedNode
    port: int
    page_port: int
    ca_file: Path

    def environment(self, user: str, home: Path) -> dict[str, str]:
        """Return what the page tells a user to export."""
        lines = block("console", "BACALHAU_API_TLS_USETLS").replace("node.example.org", NAME)
        lines = lines.replace("443", str(self.port)).replace("<key of ada>", key_of(user))
        variables = dict(re.findall(r"(BACALHAU_\w+)=('[^']*'|\S+)", lines))
        assert set(variables) >= {"BACALHAU_API_HOST", "BACALHAU_API_PORT", "BACALHAU_API_KEY"}
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("BACALHAU_", "JPY_"))}
        return {
            **kept,
            **{name: value.strip("'") for name, value in variables.items()},
            "BACALHAU_API_TLS_CAFILE": str(self.ca_file),
            "BACALHAU_DIR": str(home / "client"),
            "PYTHONPATH": str(ROOT),
        }

    def python(self, user: str, home: Path, *arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment(user, home),
            cwd=home,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + done.stderr

    def cli(self, user: str, home: Path, *arguments: str, fails: bool = False) -> str:
        return self.python(user, home, "-m", "bacalhau_jupyter", *arguments, fails=fails)

    def request(self, path: str, **headers: str) -> tuple[int, bytes]:
        status, body, _ = self.open(f"https://{NAME}:{self.port}{path}", headers)
        return status, body

    def open(self, url: str, headers: dict[str, str], data: bytes | None = None) -> tuple[int, bytes, str]:
        """Return status, body and cookie."""
        context = ssl.create_default_context(cafile=self.ca_file)
        request = urllib.request.Request(url, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=60, context=context) as answer:
                return answer.status, answer.read(), answer.headers.get("Set-Cookie", "")
        except urllib.error.HTTPError as error:
            return error.code, error.read(), ""


@pytest.fixture(scope="module", params=KINDS)
def team(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    parent = tmp_path_factory.mktemp(request.param)
    port, page_port = free_port(), free_port()
    directory = parent / "node"
    directory.mkdir(mode=0o700)
    (directory / "config.yaml").touch(0o600)
    (directory / "config.yaml").write_text(_node_configuration(port))
    authority = trustme.CA()
    own = authority.issue_cert(NAME)
    authority.cert_pem.write_to_path(parent / "ca.pem")
    own.private_key_and_cert_chain_pem.write_to_path(parent / "both.pem")
    with factory(parent) as start:
        node = start("-c", "Engines.Disabled=docker", data_dir=directory)
        link = re.compile(r"http://127\.0\.0\.1:(\d+)/login#")
        assert wait_until(lambda: link.search(node.output.read_text()) is not None, timeout_s=60)
        panel = link.findall(node.output.read_text())[0]
        # All at once: one port's digits may hold another one's.
        ports = {"1234": str(node.port), "8438": panel, "8443": str(page_port), "443": str(port)}
        configuration = re.sub(
            r"(?<=[ :])(1234|8438|8443|443)\b",
            lambda port_match: ports[port_match[1]],
            _proxy_configuration(request.param, parent / "both.pem"),
        )
        proxy = service_or_skip(lambda: TlsProxy(request.param, parent, configuration, port))
        try:
            yield Team(node, port, page_port, parent / "ca.pem")
        finally:
            proxy.close()


def _proxy_configuration(kind: str, certificate: Path) -> str:
    """Return the page's configuration for the API, and the same once more for the web page."""
    text = block(kind, "1234").replace("node.example.org", NAME)
    if kind == "nginx":
        server = text[text.index("server {") :]
        text += server.replace("1234", "8438").replace("listen 443", "listen 8443")
    else:
        end = text[text.index("frontend ") :].replace("bind :443", "bind :8443").replace("1234", "8438")
        text += end.replace("frontend bacalhau", "frontend panel").replace("backend node", "backend page")
        text = text.replace("default_backend node", "default_backend page").replace(
            "default_backend page", "default_backend node", 1
        )
    return re.sub(r"/etc/\S+\.(pem|key)", str(certificate), text)


def _node_configuration(port: int) -> str:
    config = block("yaml", "Auth:").replace(":8438", ":0")
    # On the page it is the port that https stands for.
    address = "      Address: https://node.example.org\n"
    assert config.count(address) == 1
    config = config.replace(address, f"{address}      Port: {port}\n").replace("node.example.org", NAME)
    for user in USERS:
        config = config.replace(f"<key of {user}>", key_of(user))
    assert "<key" not in config
    return config


def test_through_the_proxy_nobody_is_the_owner(team: Team) -> None:
    """The proxy is this user's process; the same request straight to the node is the control."""
    path = "/api/v1/orchestrator/jobs"
    assert team.request(path)[0] == 401
    assert team.request(path, Authorization=f"Bearer {key_of('board')}")[0] == 200
    with urllib.request.urlopen(team.node.url + path, timeout=60) as answer:
        assert answer.status == 200


def test_each_user_of_the_page_may_what_it_says(team: Team, tmp_path: Path) -> None:
    assert isinstance(json.loads(team.cli("ada", tmp_path, "job", "list", "--output", "json")), list)
    job = tmp_path / "job.json"
    task = {"Name": "main", "Engine": {"Type": "process", "Params": {"Command": ["true"]}}}
    job.write_text(json.dumps({"Name": "tried", "Type": "batch", "Count": 1, "Tasks": [task]}))
    assert "write:job" in team.cli("board", tmp_path, "job", "run", str(job), fails=True)
    team.cli("ci", tmp_path, "job", "run", "--id-only", str(job))


PROGRAM = """
import sys
from bacalhau_jupyter import Client, process
command = "wc -c < /inputs/data.bin; echo kept > /outputs/kept.txt"
job = Client().submit(process(command, inputs=["data.bin:/inputs/data.bin"], outputs=["outputs:/outputs"]))
sys.stdout.writelines(job.logs(follow=True))
print(job.result().text("outputs/kept.txt"), job.result().archive_urls())
"""


def test_uploads_logs_and_results_pass_the_proxy(team: Team, tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(os.urandom(BIG))
    text = team.python("ada", tmp_path, "-c", PROGRAM)
    assert str(BIG) in text
    assert "kept" in text
    assert f"https://{NAME}:{team.port}/" in text


def test_people_log_in_to_the_web_page_through_the_proxy(team: Team) -> None:
    origin = f"https://{NAME}:{team.page_port}"
    jobs = f"{origin}/api/v1/orchestrator/jobs"
    headers = {"Origin": origin, "Content-Type": "application/json"}
    assert team.open(jobs, {})[0] == 401
    assert team.open(f"{origin}/login", headers, json.dumps({"key": "no"}).encode())[0] == 401
    foreign = headers | {"Origin": "https://evil.example"}
    login = json.dumps({"key": key_of("board")}).encode()
    assert team.open(f"{origin}/login", foreign, login)[0] == 403
    status, _, cookie = team.open(f"{origin}/login", headers, login)
    assert status == 200
    assert team.open(jobs, {"Cookie": cookie.partition(";")[0]})[0] == 200


def test_the_hub_gives_each_server_the_key_of_its_user(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"ada": "the key"}))
    config: Any = SimpleNamespace(Spawner=SimpleNamespace())
    text = block("python", "pre_spawn_hook").replace("/etc/jupyterhub/bacalhau-keys.json", str(keys))
    exec(compile(text, "jupyterhub_config.py", "exec"), {"c": config})
    spawner = SimpleNamespace(user=SimpleNamespace(name="ada"), environment={})
    config.Spawner.pre_spawn_hook(spawner)
    assert spawner.environment["BACALHAU_API_KEY"] == "the key"
    assert spawner.environment["BACALHAU_API_TLS_USETLS"] == "true"
    stranger = SimpleNamespace(user=SimpleNamespace(name="bob"), environment={})
    with pytest.raises(RuntimeError, match="bob has no key"):
        config.Spawner.pre_spawn_hook(stranger)
    assert stranger.environment == {}
