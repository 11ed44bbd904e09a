"""A cell asks what the cluster asks for: a secret is typed into a field for passwords, and stays nowhere."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.notebook.conftest import Kernel

SECRET = "open sesame"
SCHEMA = {
    "properties": {"person": {"type": "string"}, "word": {"type": "string", "writeOnly": True}},
    "required": ["person", "word"],
}
ASK = {"type": "ask", "params": SCHEMA}
PAGES: dict[str, dict[str, Any]] = {
    "/api/v1/agent/authconfig": {"Version": "1.0.0", "Config": {}},
    "/api/v1/auth": {"NextToken": "", "Methods": {"first": ASK, "second": ASK}},
}


class Asking(BaseHTTPRequestHandler):
    """The two routes of a login, and the exchange."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200, PAGES[self.path])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answers = json.loads(base64.b64decode(body["MethodData"]))
        is_right = (self.path, answers) == ("/api/v1/auth/second", {"person": "ali", "word": SECRET})
        result = {"success": True, "token": "token-1"} if is_right else {"success": False, "reason": "wrong"}
        self._answer(200 if is_right else 401, {"Authentication": result})

    def _answer(self, status: int, plain: object) -> None:
        data = json.dumps(plain).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a cluster that asks."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Asking)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def typed(
    kernel: Kernel, *answers: str
) -> tuple[list[tuple[str, bool]], list[dict[str, Any]], dict[str, Any]]:
    """Log in, typing the answers; return what was asked, all that the cell showed, and how it ended."""
    message = kernel.client.execute("%bacalhau auth login", allow_stdin=True)
    asked = []
    for answer in answers:
        question = kernel.client.get_stdin_msg(timeout=60)["content"]
        asked.append((question["prompt"], question["password"]))
        kernel.client.input(answer)
    reply = kernel.reply(message)
    shown = []
    while True:
        output = kernel.client.get_iopub_msg(timeout=60)
        if output["parent_header"].get("msg_id") != message:
            continue
        shown.append(output["content"])
        if output["content"].get("execution_state") == "idle":
            return asked, shown, reply


def test_a_secret_is_typed_into_a_field_for_passwords_and_never_shown(kernel: Kernel, port: int) -> None:
    kernel.run(f"%env BACALHAU_API_HOST=127.0.0.1\n%env BACALHAU_API_PORT={port}")
    asked, shown, reply = typed(kernel, "2", "ali", SECRET)
    assert reply["status"] == "ok", reply
    assert asked == [("Choose a number: ", False), ("person: ", False), ("word: ", True)]
    assert "How would you like to authenticate?\n1. first\n2. second" in "".join(
        content.get("text", "") for content in shown
    )
    assert SECRET not in str(shown) + str(reply)
    assert "token-1" not in str(shown) + str(reply)
    tokens = json.loads((kernel.repo.path / "tokens.json").read_text())
    assert tokens[f"http://127.0.0.1:{port}"] == "token-1"


def test_a_wrong_secret_is_one_sentence_and_no_secret(kernel: Kernel, port: int) -> None:
    kernel.run(f"%env BACALHAU_API_HOST=127.0.0.1\n%env BACALHAU_API_PORT={port}")
    _, shown, reply = typed(kernel, "1", "ali", SECRET)
    assert (reply["status"], reply["evalue"].splitlines()[0]) == ("error", "login failed: wrong")
    assert SECRET not in str(shown) + str(reply)


def test_where_nobody_can_answer_it_says_so(kernel: Kernel, port: int) -> None:
    kernel.run(f"%env BACALHAU_API_HOST=127.0.0.1\n%env BACALHAU_API_PORT={port}")
    ran = kernel.run("%bacalhau auth login")
    assert ran.status == "error"
    assert "nobody can answer here" in ran.traceback
