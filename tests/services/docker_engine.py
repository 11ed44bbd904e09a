"""A Docker Engine: the machine's own where one answers, else one of ours (Linux, as root, without systemd).

The daemon that we start keeps its data under the cache directory, so that images survive between runs, listens on the
default socket, so that anything that looks for an engine finds it, and is ended by the pid that we wrote down.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException, NotFound

from tests.services.common import (
    ServiceUnavailableError,
    cache_dir,
    is_root,
    one_process_at_a_time,
    process_start,
    run,
    wait_until,
)

DEFAULT_SOCKET = Path("/var/run/docker.sock")
# From what we would like to what works nearly everywhere (no overlay file system, no netfilter in the kernel).
# The first way gets a second chance: what a killed daemon left behind may be gone by then.
ATTEMPTS: tuple[tuple[str, ...], ...] = (
    (),
    (),
    ("--iptables=false",),
    ("--storage-driver=vfs",),
    ("--storage-driver=vfs", "--iptables=false"),
)
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Engine:
    """A Docker Engine that answers.

    Attributes
    ----------
    base_url
        What `docker.DockerClient(base_url=…)` and ``DOCKER_HOST`` take.
    started
        Whether this call started it, so that the caller has to `stop` it.
    """

    base_url: str
    started: bool


def client(base_url: str, timeout_s: float = 60) -> Any:
    """Return a docker SDK client for `base_url`; the caller closes it."""
    return docker.DockerClient(base_url=base_url, timeout=int(timeout_s))


def inspections(api: Any, summaries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what an engine knows of the containers of a list; some may be gone since it was made."""
    known = []
    for summary in summaries:
        with contextlib.suppress(NotFound):
            known.append(api.inspect_container(summary["Id"]))
    return known


def touch(base_url: str, container: str, path: str) -> None:
    """Make a file in a running container, which may end as soon as the file is there.

    So the end of the command is not waited for: it may be gone with its container before it was seen.
    """
    engine = client(base_url)
    try:
        command = engine.api.exec_create(container, ["touch", path])
        engine.api.exec_start(command["Id"], detach=True)
    finally:
        engine.close()


def answers(base_url: str) -> bool:
    """Whether a Docker Engine answers at `base_url`."""
    if not base_url.startswith("unix://"):
        try:
            engine = client(base_url, timeout_s=5)
        except (DockerException, OSError):
            return False
        engine.close()
        return True
    # By hand: the SDK leaves its socket open when its first request fails, and warnings are errors here.
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        try:
            connection.connect(base_url.removeprefix("unix://"))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in connection.recv(64)
        except OSError:
            return False


def find() -> str | None:
    """Return the address of an engine that already answers: ``DOCKER_HOST``, then the usual sockets."""
    candidates = [os.environ.get("DOCKER_HOST", ""), f"unix://{DEFAULT_SOCKET}"]
    if runtime_dir := os.environ.get("XDG_RUNTIME_DIR"):
        candidates.append(f"unix://{runtime_dir}/docker.sock")
    candidates.append(f"unix://{Path.home()}/.docker/run/docker.sock")
    for candidate in candidates:
        path = candidate.removeprefix("unix://")
        if candidate and (path == candidate or Path(path).exists()) and answers(candidate):
            return candidate
    return None


def obtain() -> Engine:
    """Return a Docker Engine, starting one where none answers.

    Raises
    ------
    ServiceUnavailableError
        None answers and none can be started here.
    """
    with one_process_at_a_time("dockerd"):
        return _obtain()


def _obtain() -> Engine:
    url = find()
    if url:
        return Engine(url, started=False)
    if os.environ.get("DOCKER_HOST"):
        raise ServiceUnavailableError(f"no Docker Engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}")
    if sys.platform != "linux" or not is_root():
        raise ServiceUnavailableError("no Docker Engine answers, and only root on Linux can start one")
    if shutil.which("dockerd") is None:
        raise ServiceUnavailableError(
            "no Docker Engine answers and `dockerd` is not installed "
            "(`BACALHAU_JUPYTER_INSTALL=1 ./run test` installs it on Debian and Ubuntu)"
        )
    return Engine(_start(), started=True)


def stop() -> bool:
    """End the engine that an earlier `obtain` started, by its pid; False where there is none."""
    record = _record_path()
    try:
        written = json.loads(record.read_text())
        pid, started_at = int(written["pid"]), str(written["start"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if process_start(pid) != started_at:
        record.unlink(missing_ok=True)
        return False
    os.kill(pid, signal.SIGTERM)
    if not wait_until(lambda: _ended(pid, started_at), timeout_s=STOP_TIMEOUT_S):
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _ended(pid, started_at), timeout_s=30)
    record.unlink(missing_ok=True)
    # dockerd mounts its data directory on itself and leaves it so; the cache could not be removed by hand.
    data = cache_dir() / "dockerd" / "data"
    if f" {data} " in Path("/proc/self/mounts").read_text():
        with contextlib.suppress(ServiceUnavailableError):
            run(["umount", str(data)], timeout_s=60)
    return True


def _ended(pid: int, started_at: str) -> bool:
    with contextlib.suppress(ChildProcessError):  # a daemon of an earlier run is no child of ours
        os.waitpid(pid, os.WNOHANG)
    return process_start(pid) != started_at


def _start() -> str:
    reasons: list[str] = []
    for extra in ATTEMPTS:
        reason = _attempt(extra)
        if reason is None:
            if extra:
                sys.stderr.write(f"tests: dockerd runs with {' '.join(extra)} ({'; '.join(reasons)})\n")
            return f"unix://{DEFAULT_SOCKET}"
        reasons.append(reason)
    raise ServiceUnavailableError(f"dockerd does not start here: {reasons[-1]}")


def _attempt(extra: tuple[str, ...]) -> str | None:
    """Start dockerd once; None when it answers, else the last words of its log."""
    home = cache_dir() / "dockerd"
    home.mkdir(parents=True, exist_ok=True)
    # A killed daemon's pid file names a pid that may by now be anybody's, and dockerd would refuse to start.
    # The same goes for its containerd, which dockerd would wait for in vain.
    (home / "dockerd.pid").unlink(missing_ok=True)
    for name in ("containerd.pid", "containerd.sock", "containerd.sock.ttrpc", "containerd-debug.sock"):
        (home / "exec" / "containerd" / name).unlink(missing_ok=True)
    command = [
        "dockerd",
        f"--host=unix://{DEFAULT_SOCKET}",
        f"--data-root={home / 'data'}",
        f"--exec-root={home / 'exec'}",
        f"--pidfile={home / 'dockerd.pid'}",
        "--log-level=warn",
        *extra,
    ]
    log_path = home / "dockerd.log"
    with log_path.open("wb") as log:
        daemon = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    base_url = f"unix://{DEFAULT_SOCKET}"
    wait_until(
        lambda: daemon.poll() is not None or answers(base_url), timeout_s=START_TIMEOUT_S, interval_s=0.2
    )
    if daemon.poll() is None and answers(base_url):
        _record_path().write_text(json.dumps({"pid": daemon.pid, "start": process_start(daemon.pid)}))
        # The daemon outlives this object on purpose; `stop` ends and reaps it by its pid.
        daemon.returncode = 0
        return None
    if daemon.poll() is None:
        daemon.terminate()
        try:
            daemon.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
    words = log_path.read_text(errors="replace").strip().splitlines()
    return words[-1][:300] if words else f"exit code {daemon.returncode}"


def _record_path() -> Path:
    return cache_dir() / "dockerd.json"
