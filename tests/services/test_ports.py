"""Ports that tests ask for before their servers listen there."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bacalhau_jupyter.compute.host.ports import FIRST as FIRST_OF_JOBS
from tests.services import ports

ROOT = Path(__file__).parents[2]
# Says which port is the next, and keeps it until told to end.
ASKS = "from tests.services import ports; print(ports.free_port(), flush=True); input()"


def begin_with(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process try that port first."""
    monkeypatch.setattr("os.getpid", lambda: 0)
    monkeypatch.setattr(ports, "FIRST", port)
    # The port may be the last one of all.
    monkeypatch.setattr(ports, "LAST", port + 100)


def test_no_port_is_given_twice() -> None:
    assert len({ports.free_port() for _ in range(50)}) == 50


def test_a_port_that_something_has_is_not_assigned(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ports.free_port()
    monkeypatch.setattr(ports, "_assigned", ports._assigned - {port})
    begin_with(port, monkeypatch)
    with socket.create_server(("127.0.0.1", port)):
        assert ports.free_port() != port
    assert ports.free_port() == port


def test_the_port_of_another_process_is_not_given_while_that_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", ASKS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    port = int(other.stdout.readline())
    begin_with(port, monkeypatch)
    assert ports.free_port() != port
    other.communicate(b"\n", timeout=60)
    assert ports.free_port() == port


def test_ports_are_none_of_those_that_jobs_get() -> None:
    assert ports.LAST < FIRST_OF_JOBS
