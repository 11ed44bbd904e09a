"""The walk-through of docs/policies.md: install its policies, start, log in, list jobs; also with the official CLI.

``BACALHAU_STOCK_BINARY`` names the official program.
"""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.auth.policies.conftest import ENGINES
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory, factory
from tests.services.policies import opa_program

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"
BINARY = os.environ.get("BACALHAU_STOCK_BINARY", "")
TIMEOUT_S = 60
JOBS = "/api/v1/orchestrator/jobs"

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(not PAGE.exists(), reason="the documentation is not beside the tests"),
]


def install(folder: Path, start: NodeFactory, engine: str, name: str) -> ServedNode:
    """Save the policies of the page, and start a node with the page's configuration."""
    access, passwords, clients = re.findall(
        r"^```rego\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    for file, text in (("access", access), ("passwords", passwords), ("clients", clients)):
        (folder / f"{file}.rego").write_text(text)
    program = "built-in" if engine == "built-in" else str(service_or_skip(opa_program))
    methods = {
        "password": {"Type": "ask", "PolicyPath": str(folder / "passwords.rego")},
        "key": {"Type": "challenge", "PolicyPath": str(folder / "clients.rego")},
    }
    if engine == "official":
        methods.pop("key")
    settings = {
        "API.Auth.AccessPolicyPath": str(folder / "access.rego"),
        "API.Auth.Methods": json.dumps(methods),
        "API.Auth.PolicyEngine": program if engine != "official" else "built-in",
        "API.TrustLocalUser": "false",
    }
    return start(*(word for key, value in settings.items() for word in ("-c", f"{key}={value}")), name=name)


@pytest.fixture(scope="module", params=ENGINES)
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    folder = tmp_path_factory.mktemp("page")
    with factory(folder) as start:
        yield install(folder, start, request.param, "node")


def ask(node: ServedNode, method: str, path: str, token: str = "", body: Any = None) -> tuple[int, Any]:
    request = urllib.request.Request(node.url + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data, TIMEOUT_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def log_in(node: ServedNode, name: str, password: str) -> tuple[int, dict[str, Any]]:
    answers = json.dumps({"username": name, "password": password}).encode()
    body = {"MethodData": base64.b64encode(answers).decode()}
    status, answer = ask(node, "POST", "/api/v1/auth/password", body=body)
    return status, answer["Authentication"]


def test_the_people_of_the_page_log_in_and_may_do_what_it_says(node: ServedNode) -> None:
    assert ask(node, "GET", JOBS)[0] == 401
    assert log_in(node, "ada", "wrong") == (401, {"success": False, "reason": "credentials rejected"})
    assert log_in(node, "eve", "correct horse")[0] == 401
    tokens = {name: log_in(node, name, "correct horse")[1]["token"] for name in ("ada", "ron")}
    for token in tokens.values():
        assert ask(node, "GET", JOBS, token)[1]["Items"] == []
    assert ask(node, "PUT", JOBS, tokens["ron"], {"Job": {}})[0] == 403
    # The policy has let it through: the node does not like the job.
    assert ask(node, "PUT", JOBS, tokens["ada"], {"Job": {}})[0] == 400


@pytest.mark.skipif(not BINARY, reason="BACALHAU_STOCK_BINARY names no official program")
@pytest.mark.timeout(300)
def test_the_official_cli_asks_for_the_password_and_lists_jobs(
    node_factory: NodeFactory, tmp_path: Path
) -> None:
    node = install(tmp_path, node_factory, "official", "stock")
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "BACALHAU_DIR": str(home / "client"),
        "BACALHAU_DISABLEANALYTICS": "true",
        "BACALHAU_UPDATECONFIG_INTERVAL": "0",
        "BACALHAU_API_HOST": "127.0.0.1",
        "BACALHAU_API_PORT": str(node.port),
        "TERM": "dumb",
    }

    def listing(*answers: str) -> str:
        words = ["job", "list", "--output", "json"]
        terminal = pexpect.spawn(BINARY, words, env=environment, encoding="utf-8", timeout=TIMEOUT_S)
        for prompt, text in zip(("username: ", "password: "), answers, strict=False):
            terminal.expect_exact(prompt)
            terminal.sendline(text)
        terminal.expect(pexpect.EOF)
        terminal.close()
        return f"{terminal.exitstatus} {terminal.before}"

    assert listing("ada", "wrong").startswith("1 ")
    first = listing("ada", "correct horse")
    assert first.startswith("0 "), first
    # The token is kept: nobody is asked again.
    second = listing()
    assert second.startswith("0 "), second
