"""Compute nodes of a devstack as processes of their own, which join it as nodes of other machines do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from bacalhau_jupyter.config.config import FILE_NAME, Config
from bacalhau_jupyter.config.election import read_record
from bacalhau_jupyter.config.keys import Kind
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.programs.calls import end
from bacalhau_jupyter.lib.programs.tied import tied
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError, ServiceUnavailable
from bacalhau_jupyter.models.jobs.goduration import format_go_duration
from bacalhau_jupyter.models.records.node import NodeConnection
from bacalhau_jupyter.node.roles.devstack import Devstack, name_of
from bacalhau_jupyter.orchestrator.base import NodeQuery
from bacalhau_jupyter.transfer.core.reach import KEY as ADDRESSES

PROGRAM_VARIABLE = "BACALHAU_STOCK_BINARY"
LOG_FILE = "devstack.log"
JOIN_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 20.0
_STEP_S = 0.1
_LAST_LINES = 10
_TOKEN = "Orchestrator.Auth.Token"
_NODE_SECTIONS = ("Compute", "Engines", "InputSources", "JobAdmissionControl", "Logging", "Publishers", "S3")
"""What the settings of a stack may say about each of its compute nodes."""


@dataclass(frozen=True)
class FarNodes:
    """How many compute nodes have a process of their own.

    Attributes
    ----------
    ours
        Nodes of this project.
    official
        Nodes that `program` runs.
    program
        The official program; nothing here fetches it.
    """

    ours: int = 0
    official: int = 0
    program: str = ""

    def check(self) -> None:
        """Refuse what can't be.

        Raises
        ------
        BadRequest, ConfigurationError
            In one sentence.
        """
        if min(self.ours, self.official) < 0:
            raise BadRequest("a devstack can't have a negative number of nodes", component="Devstack")
        if self.official and not os.access(self.program, os.X_OK):
            raise ConfigurationError(
                f"no official program can be started: {PROGRAM_VARIABLE} is {self.program or 'not set'}",
                hint=f"set {PROGRAM_VARIABLE} to the path of an official bacalhau program, or leave out --stock",
                component="Devstack",
            )

    def linked(self, config: Config) -> Config:
        """Return the settings of a stack whose link is open to these nodes; others need a token that nobody has."""
        values: dict[str, Any] = {"Orchestrator.Link": "on"}
        if config.source("Orchestrator.Port") == "default":
            values["Orchestrator.Port"] = 0
        if not config[_TOKEN] and config.source(_TOKEN) == "default":
            values[_TOKEN] = secrets.token_hex(32)
        return config.replace(values)


@dataclass
class _Started:
    name: str
    directory: Path
    process: asyncio.subprocess.Process
    is_ours: bool
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.directory / LOG_FILE


@asynccontextmanager
async def running_processes(
    stack: Devstack, config: Config, base: Path, nodes: FarNodes, *, keep: bool
) -> AsyncIterator[None]:
    """Run them for the duration; when it begins, all are connected.

    Parameters
    ----------
    config
        Of the stack, as `FarNodes.linked` returns it.
    keep
        Whether what they run is left as it is at the end.

    Raises
    ------
    ServiceUnavailable
        One of them ended, or did not connect in time; none is left.
    """
    started: list[_Started] = []
    try:
        for index in range(1, nodes.ours + nodes.official + 1):
            name = name_of(index)
            if index <= nodes.ours:
                started.append(await _start_ours(stack, config, base / name, name))
            else:
                started.append(await _start_official(stack, config, base / name, name, nodes.program))
        await _connected(stack, started)
        yield
    finally:
        if not keep:
            await stack.end_jobs()
            await _idle([each for each in started if each.is_ours])
        await asyncio.gather(*(end(each.process, STOP_TIMEOUT_S) for each in started))


async def _start_ours(stack: Devstack, config: Config, directory: Path, name: str) -> _Started:
    settings = dict(_of_nodes(config)) | {
        "Compute.Orchestrators": [_address(stack)],
        "Compute.Auth.Token": config[_TOKEN],
        "Compute.Heartbeat.Interval": format_go_duration(stack.heartbeat_s),
        "Labels": stack.labels(name),
        "API.Host": "127.0.0.1",
        "API.Port": 0,
        # Uploads are fetched from the stack, and results sent there; on other machines that needs no exception.
        ADDRESSES: [*config[ADDRESSES], urlsplit(stack.node.url).netloc],
    }
    # Not on a command line, which everybody can read.
    await asyncio.to_thread(_write_private, directory, json.dumps(_tree(settings)))
    words = ["serve", "--compute", "--name", name, "--data-dir", str(directory)]
    return await _start(
        [sys.executable, "-P", "-m", "bacalhau_jupyter", *words], directory, name, is_ours=True, variables={}
    )


async def _start_official(
    stack: Devstack, config: Config, directory: Path, name: str, program: str
) -> _Started:
    # It leaves files behind where temporary ones go.
    temporary = directory / "tmp"
    await asyncio.to_thread(temporary.mkdir, 0o700, parents=True, exist_ok=True)
    labels = ",".join(f"{key}={value}" for key, value in stack.labels(name).items())
    settings = {
        "API.Host": "127.0.0.1",
        "API.Port": _free_port(),
        "Compute.Orchestrators": _address(stack),
        "Compute.Heartbeat.Interval": format_go_duration(stack.heartbeat_s),
        "Publishers.Types.Local.Address": "127.0.0.1",
        "Publishers.Types.Local.Port": _free_port(),
        "Labels": labels,
        "DisableAnalytics": "true",
        "UpdateConfig.Interval": "0",
    }
    pairs = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    words = [program, "serve", "--compute", "--name", name, *pairs]
    variables = {
        "BACALHAU_DIR": str(directory),
        "BACALHAU_COMPUTE_AUTH_TOKEN": config[_TOKEN],
        "TMPDIR": str(temporary),
    }
    return await _start(words, directory, name, is_ours=False, variables=variables)


async def _start(
    command: list[str], directory: Path, name: str, *, is_ours: bool, variables: Mapping[str, str]
) -> _Started:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
    with (directory / LOG_FILE).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            # Killed with us or not, a node gets the chance to end its jobs.
            *tied(command, signal.SIGTERM),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**kept, **variables},
            # An interrupt at the terminal is for the stack, which ends its nodes in its turn.
            start_new_session=True,
        )
    return _Started(name, directory, process, is_ours)


async def _connected(stack: Devstack, started: Iterable[_Started]) -> None:
    awaited = {each.name: each for each in started}
    try:
        async with asyncio.timeout(JOIN_TIMEOUT_S):
            while awaited:
                for state in await stack.node.orchestrator.nodes(NodeQuery()):
                    if state.connection is NodeConnection.CONNECTED:
                        awaited.pop(state.info.node_id, None)
                for each in awaited.values():
                    if each.process.returncode is not None:
                        raise _failed(each, f"ended with {each.process.returncode}")
                await asyncio.sleep(_STEP_S)
    except TimeoutError:
        slow = next(iter(awaited.values()))
        raise _failed(slow, f"did not connect within {JOIN_TIMEOUT_S:.0f} s") from None


def _failed(node: _Started, what: str) -> ServiceUnavailable:
    lines = read_text(node.log, errors="replace").strip().splitlines()[-_LAST_LINES:]
    return ServiceUnavailable(
        f"node {node.name} of the devstack {what}",
        hint="it said last: " + " / ".join(line.strip() for line in lines if line.strip()),
        component="Devstack",
    )


async def _idle(started: Iterable[_Started]) -> None:
    """Wait until none of them runs anything; bounded."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_TIMEOUT_S), aiohttp.ClientSession() as session:
            for each in started:
                while await _is_busy(session, each):  # noqa: ASYNC110
                    await asyncio.sleep(_STEP_S)


async def _is_busy(session: aiohttp.ClientSession, node: _Started) -> bool:
    repo = Repo(node.directory)
    record = read_record(repo)
    if record is None:
        return False
    headers = {"Authorization": f"Bearer {repo.api_key()}"}
    try:
        async with session.get(f"{record.url}/api/v1/agent/debug", headers=headers) as answer:
            facts = await answer.json()
    except (aiohttp.ClientError, ValueError):
        return False
    return bool(facts.get("Compute", {}).get("LiveExecutions"))


def _address(stack: Devstack) -> str:
    link = stack.node.link
    assert link is not None, "a stack with processes is linked"
    return link.address


def _of_nodes(config: Config) -> Iterable[tuple[str, Any]]:
    for name, key in config.keys().items():
        is_for_nodes = name.partition(".")[0] in _NODE_SECTIONS
        if is_for_nodes and config.source(name) != "default":
            yield name, config.shown(name) if key.kind is Kind.DURATION else config[name]


def _tree(settings: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in settings.items():
        *sections, leaf = name.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[leaf] = value
    return tree


def _write_private(directory: Path, text: str) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / FILE_NAME
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode())


def _free_port() -> int:
    """Return a loopback port that nobody listens on now: the official program takes no 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
