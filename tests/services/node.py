"""A real node: as a process of its own (`start_node`), or on the test's own event loop (`running_node`).

Both are bounded in time and leave nothing behind. A node process can run as another OS user, where the tests run as
root.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import NodeRecord, read_record
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.node import node as nodes
from tests.services.common import ServiceUnavailableError, is_root, wait_until
from tests.services.leaks import owns

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 60.0
ENGINES_TIMEOUT_S = 60.0
UNANSWERED = "it has not answered yet"
"""What a node says of an engine that it has asked, and has no answer from."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that can import this project, and the environment it needs for that."""

    path: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ServedNode:
    """A node process that has said where it listens."""

    process: subprocess.Popen[bytes]
    repo: Repo
    record: NodeRecord
    output: Path

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return self.record.url

    @property
    def port(self) -> int:
        """Port of the API."""
        return self.record.port

    @property
    def key(self) -> str:
        """The API key."""
        return self.repo.api_key()

    def client_env(self) -> dict[str, str]:
        """Return the variables with which any Bacalhau client finds this node."""
        return {
            "BACALHAU_API_HOST": "127.0.0.1",
            "BACALHAU_API_PORT": str(self.port),
            "BACALHAU_DIR": str(self.repo.path),
        }

    def kill(self) -> None:
        """End the process without any chance to clean up."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)

    def stop(self) -> int:
        """End the process gracefully; return its exit status. Safe to call twice."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_TIMEOUT_S)
                raise AssertionError(f"the node did not stop: {self.tail()}") from None
        return self.process.returncode

    def tail(self, lines: int = 20) -> str:
        """Return the last lines that it printed."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])


def end_node_of(repo: Repo) -> None:
    """End the node of a repo directory, also one that another process started; harmless where there is none.

    Raises
    ------
    AssertionError
        It did not stop in time.
    """
    record = read_record(repo)
    if record is not None:
        # Without its users it ends by itself, perhaps at this very moment.
        with contextlib.suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)
        ended = wait_until(lambda: read_record(repo) is None, timeout_s=STOP_TIMEOUT_S)
        assert ended, f"the node of {repo.path} did not stop"


NO_PROCESS = -1
TEST_SERVERS = ("127.0.0.0/8", "localhost", "::1")
"""Where the servers of the tests listen: nodes refuse this machine's addresses unless they are listed."""


@asynccontextmanager
async def running_node(config: Config, **arguments: Any) -> AsyncIterator[nodes.Node]:
    """Run a node on the test's own event loop; takes what `bacalhau_jupyter.node.node.running_node` takes.

    The test's process calls the node from inside it, so here the node trusts its own process.
    """
    processes = ProcessTable(os.getuid(), pid=NO_PROCESS)
    async with nodes.running_node(config, processes=processes, **arguments) as node:
        owns(node.node_id)
        yield node


def start_node(
    data_dir: Path,
    *options: str,
    uid: int | None = None,
    groups: Sequence[int] = (),
    env: Mapping[str, str] | None = None,
    roles: Sequence[str] = ("--orchestrator", "--compute"),
    port: int = 0,
    timeout_s: float = START_TIMEOUT_S,
    prefix: Sequence[str] = (),
    awaits_engines: bool = True,
) -> ServedNode:
    """Start ``bacalhau-jupyter serve`` and wait until it listens, and knows which of its engines work.

    Parameters
    ----------
    data_dir
        Its repo directory.
    options
        Further arguments, such as ``-c Key=Value``.
    uid
        The OS user that it runs as, where the tests run as root.
    prefix
        A command that becomes the node's, such as ``prlimit`` with its options.
    groups
        Further groups of that user, such as the one of the Docker Engine's socket.
    awaits_engines
        Whether to wait for what its engines answer. The node itself waits for two seconds, and refuses jobs that come
        before the answer: on a busy machine that is any job.

    Raises
    ------
    ServiceUnavailableError
        No Python here can be started as that user.
    AssertionError
        The node ended, or did not come up in time; its last lines are in the text.
    """
    interpreter = interpreter_for(uid)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    output = data_dir.with_name(data_dir.name + ".out")
    if uid is not None:
        os.chown(data_dir, uid, uid)
    command = [
        *prefix,
        interpreter.path,
        "-m",
        "bacalhau_jupyter",
        "serve",
        *roles,
        "--data-dir",
        str(data_dir),
    ]
    command += ["--api-port", str(port)]
    command += ["-c", f"Compute.AllowListedAddresses={','.join(TEST_SERVERS)}"]
    if "--compute" not in roles and not any("Orchestrator." in option for option in options):
        # Else it would open the link to other nodes, at a port that it shares with other tests.
        command += ["-c", "Orchestrator.Link=off"]
    command += options
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd="/",
            start_new_session=True,
            user=uid,
            group=uid,
            extra_groups=list(groups) if uid is not None else None,
            env={**_environment(), "HOME": str(data_dir), **interpreter.env, **(env or {})},
        )
    repo = Repo(data_dir)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        record = read_record(repo)
        if record is not None and record.port and record.pid == process.pid:
            owns(repo.node_name())
            node = ServedNode(process, repo, record, output)
            if awaits_engines and "--compute" in roles:
                _wait_for_engines(node, places_jobs="--orchestrator" in roles)
            return node
        if process.poll() is not None:
            break
        time.sleep(0.02)
    process.kill()
    process.wait(STOP_TIMEOUT_S)
    raise AssertionError(f"the node did not start: {output.read_text(errors='replace')[-3000:]}")


def _wait_for_engines(node: ServedNode, places_jobs: bool) -> None:
    wait_until(lambda: _engines_answered(node, places_jobs), timeout_s=ENGINES_TIMEOUT_S)


def _engines_answered(node: ServedNode, places_jobs: bool) -> bool:
    """Whether a node (as one that places jobs: its orchestrator) has heard from each engine; True where it won't say.

    What is wrong with a node is found out by its test, not here.
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    path = f"orchestrator/nodes/{node.repo.node_name()}" if places_jobs else "agent/node"
    try:
        request = urllib.request.Request(
            f"{node.url}/api/v1/{path}", headers={"Authorization": f"Bearer {node.key}"}
        )
        with urllib.request.urlopen(request, timeout=ENGINES_TIMEOUT_S, context=context) as answer:
            record = json.load(answer)
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, ValueError):
        return True
    info = (record["Node"]["Info"] if places_jobs else record).get("ComputeNodeInfo") or {}
    return UNANSWERED not in (info.get("EngineProblems") or {}).values()


def interpreter_for(uid: int | None) -> Interpreter:
    """Return a Python that user ``uid`` may start (ours often lies in a home directory that is closed to others).

    Raises
    ------
    ServiceUnavailableError
        There is none, or we may not become that user.
    """
    ours = Interpreter(sys.executable, {"PYTHONPATH": str(ROOT)})
    if uid is None or uid == os.getuid():
        return ours
    if not is_root():
        raise ServiceUnavailableError(f"only root can start a process as uid {uid}")
    site = sysconfig.get_path("purelib")
    executable = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    candidates = [ours]
    if executable:
        candidates.append(Interpreter(executable, {"PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}))
    for candidate in candidates:
        if _starts(candidate, uid):
            return candidate
    raise ServiceUnavailableError(f"no Python 3.{sys.version_info.minor} can be started as uid {uid}")


def _starts(interpreter: Interpreter, uid: int) -> bool:
    try:
        done = subprocess.run(
            [interpreter.path, "-c", "import aiohttp, msgspec, bacalhau_jupyter"],
            user=uid,
            group=uid,
            extra_groups=[],
            cwd="/",
            env={**_environment(), **interpreter.env},
            capture_output=True,
            timeout=30,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


def _environment() -> dict[str, str]:
    """Leave out what would configure the node behind the test's back."""
    private = ("BACALHAU_", "JPY_", "JUPYTER", "PYTEST_", "COV_")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(private)}
    # Other users must not try to write beside our sources.
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1"}
