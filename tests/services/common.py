"""What every service shares: where things are kept, what is allowed, and the error that says why not."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class ServiceUnavailableError(Exception):
    """A service cannot be had on this machine; the message is one sentence for the person who runs the tests."""


def in_ci() -> bool:
    """Whether a missing service is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def is_worker() -> bool:
    """Whether this process is one of several that share the tests of a run."""
    return "PYTEST_XDIST_WORKER" in os.environ


def may_install() -> bool:
    """Whether we may install operating-system packages: in CI, or where a person said so."""
    return in_ci() or os.environ.get("BACALHAU_JUPYTER_INSTALL", "") == "1"


def is_root() -> bool:
    """Whether the tests run as root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def cache_dir() -> Path:
    """Return the directory that keeps what is slow to make, between runs; it is created when missing."""
    configured = os.environ.get("BACALHAU_JUPYTER_TEST_CACHE")
    if configured:
        path = Path(configured)
    else:
        path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bacalhau-jupyter-tests"
    path.mkdir(parents=True, exist_ok=True)
    return path


def open_way(path: Path) -> None:
    """Let every user of this machine look into a directory below the one for temporary files, and get there.

    Below `tmp_path` the way lasts until somebody starts another pytest; below `open_place` it stays.
    """
    for directory in (path, *path.parents):
        if directory == Path(tempfile.gettempdir()).resolve():
            break
        if directory.stat().st_uid == os.geteuid():
            directory.chmod(directory.stat().st_mode | 0o055)


@contextmanager
def one_process_at_a_time(name: str) -> Iterator[None]:
    """Hold a lock between the workers of a run, so that one of them makes a thing and the others find it."""
    import fcntl

    with (cache_dir() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(command: list[str], *, timeout_s: float, env: dict[str, str] | None = None) -> str:
    """Run `command` and return what it printed.

    Raises
    ------
    ServiceUnavailableError
        The command is missing, took longer than `timeout` seconds, or failed; the message ends with its last lines.
    """
    try:
        done = subprocess.run(
            command,
            timeout=timeout_s,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise ServiceUnavailableError(f"`{command[0]}` is not installed") from None
    except subprocess.TimeoutExpired:
        raise ServiceUnavailableError(f"`{' '.join(command)}` took longer than {timeout_s:.0f} s") from None
    if done.returncode != 0:
        tail = " / ".join(done.stdout.strip().splitlines()[-3:])
        raise ServiceUnavailableError(f"`{' '.join(command)}` failed with {done.returncode}: {tail}")
    return done.stdout


def wait_until(ready: Callable[[], bool], *, timeout_s: float, interval_s: float = 0.05) -> bool:
    """Ask `ready` until it says yes; False when `timeout` seconds went by."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval_s)
    return True


def accepts_connections(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def end_process(process: subprocess.Popen[bytes], *, timeout_s: float) -> None:
    """End a process: asked first, killed after `timeout` seconds; harmless when it has ended."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def process_start(pid: int) -> str | None:
    """Return when the kernel started process `pid`, or None where there is none: a pid alone may be someone else's."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] == "Z" else after_name[19]
