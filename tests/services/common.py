"""What every service shares: where things are kept, what is allowed, and the error that says why not."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


class ServiceUnavailableError(Exception):
    """A service cannot be had on this machine; the message is one sentence for the person who runs the tests."""


def in_ci() -> bool:
    """Whether a missing service is a failure."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


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


def run(command: list[str], *, timeout: float, env: dict[str, str] | None = None) -> str:
    """Run `command` and return what it printed.

    Raises
    ------
    ServiceUnavailableError
        The command is missing, took longer than `timeout` seconds, or failed; the message ends with its last lines.
    """
    try:
        done = subprocess.run(
            command,
            timeout=timeout,
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
        raise ServiceUnavailableError(f"`{' '.join(command)}` took longer than {timeout:.0f} s") from None
    if done.returncode != 0:
        tail = " / ".join(done.stdout.strip().splitlines()[-3:])
        raise ServiceUnavailableError(f"`{' '.join(command)}` failed with {done.returncode}: {tail}")
    return done.stdout


def wait_until(ready: Callable[[], bool], *, timeout: float, interval: float = 0.05) -> bool:
    """Ask `ready` until it says yes; False when `timeout` seconds went by."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() >= deadline:
            return False
        time.sleep(interval)
    return True


def end_process(process: subprocess.Popen[bytes], *, timeout: float) -> None:
    """End a process: asked first, killed after `timeout` seconds; harmless when it has ended."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout)
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
