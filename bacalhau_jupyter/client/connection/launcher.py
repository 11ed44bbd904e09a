"""Find the node of a repo directory, or start it: one process, shared by everything of one user."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bacalhau_jupyter.config.election import NodeRecord
    from bacalhau_jupyter.config.repo import Repo

START_TIMEOUT_S = 30.0
_STEP_S = 0.02


def ensure_node(repo: Repo, *, timeout_s: float = START_TIMEOUT_S, options: Sequence[str] = ()) -> NodeRecord:
    """Return the record of the running node, starting one when there is none.

    Several starters may do this at the same instant: the election lets one node live, and all of them return
    its record.

    Parameters
    ----------
    repo
        The repo directory whose node is wanted.
    timeout_s
        Seconds to wait for a started node.
    options
        Further arguments of ``bacalhau-jupyter serve``.

    Raises
    ------
    ServiceUnavailable
        The node did not come up; the last line of its log is in the sentence.
    """
    from bacalhau_jupyter.config.election import read_record

    record = read_record(repo)
    if record is not None and record.port:
        return record
    child = start_node(repo, options)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        record = read_record(repo)
        if record is not None and record.port:
            return record
        if record is None and child.poll() is not None:
            if child.returncode != 0:
                break
            # It lost the election to a node that was about to leave.
            child = start_node(repo, options)
        # Waiting for another process to write its file; there is nothing to subscribe to before it lives.
        time.sleep(_STEP_S)
    raise ServiceUnavailable(
        f"the node of {repo.path} did not start: {_last_log_line(repo)}",
        hint=f"see {repo.node_log}, or run `bacalhau-jupyter serve --orchestrator --compute` to watch it",
        component="Launcher",
    )


def start_node(repo: Repo, options: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start an embedded node process in its own session; it outlives the caller."""
    command = [sys.executable, "-m", "bacalhau_jupyter", "serve", "--orchestrator", "--compute", "--embedded"]
    command += ["--data-dir", str(repo.path), *options]
    log = os.open(repo.node_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=repo.path,
            env=_environment(),
        )
    finally:
        os.close(log)
    # Its end must be collected, or it stays behind as a zombie of a long-lived Jupyter server.
    threading.Thread(target=child.wait, name="bacalhau-node", daemon=True).start()
    return child


def _environment() -> dict[str, str]:
    """Leave out what belongs to one kernel or one Jupyter server: the node serves them all."""
    private = ("JPY_", "JUPYTER", "PYTEST_")
    return {key: value for key, value in os.environ.items() if not key.startswith(private)}


def _last_log_line(repo: Repo) -> str:
    try:
        lines = read_text(repo.node_log, errors="replace").strip().splitlines()
    except OSError as error:
        return f"it left no log ({error.strerror})"
    return lines[-1] if lines else "it printed nothing"
