"""A second machine in namespaces of this one, with a Docker Engine and an ssh server; root on Linux only.

It has its own processes, mounts, users, host name, network and images, and shares this machine's programs. It can be
cut off, switched off and started again. It ends with the process that made it, also where that is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest
import trustme

from tests.services import docker_engine, far_users, images, leaks
from tests.services.common import (
    ServiceUnavailableError,
    cache_dir,
    is_root,
    process_start,
    run,
    wait_until,
)
from tests.services.fixtures import service_or_skip

PROGRAMS = ("dockerd", "sshd", "ssh", "ssh-keygen", "setpriv", "unshare", "nsenter", "ip", "iptables")
SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
START_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 60.0
MOST_MACHINES = 60
TLS_PORT = 2376
_FIRST_SSH_PORT = 2201
_INTERFACE = "far0"

# Linux ends it with the thread that started it, not with the process: one of an event loop's is gone after the test.
_starter = ThreadPoolExecutor(1, "far-host")

# Process 1 of the machine: sets it up, then carries out what comes through the pipe, and reaps.
_INIT = """
set -e
exec >>{directory}/init.log 2>&1 3<>{directory}/orders
hostname {name}
ip link set lo up
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/sshd /run/lock /run/user
mount -t tmpfs none /var/lib
mkdir -m 0710 /var/lib/docker
mount --bind {directory}/docker /var/lib/docker
mount --bind {directory}/etc /etc
mount --bind {directory}/home /home
echo up >{directory}/stage
until ip link show {interface} >/dev/null 2>&1; do sleep 0.02; done
ip addr add {address}/30 dev {interface}
ip link set {interface} up
ip route add default via {near_address}
exec 4>>{directory}/sshd.log 5>>{directory}/dockerd.log
# What the near machine keeps for its tests must not be seen here.
for hidden in {hidden}; do mount -t tmpfs -o mode=1777 none $hidden; done
set +e
while read -r order <&3; do eval "$order" & done
"""


class FarHost:
    """One machine.

    Parameters
    ----------
    hidden
        Directories of this machine that are empty there, beside the one for temporary files.

    Attributes
    ----------
    address, near_address
        Its own address, and this machine's as it sees it.
    users
        Its users, and the configurations with which this machine's ssh gets there.
    """

    def __init__(self, hidden: tuple[Path, ...] = ()) -> None:
        _check_machine()
        self._number, self._lock = _take_number()
        self.name = f"far{self._number}"
        self.address, self.near_address = f"10.99.{self._number}.2", f"10.99.{self._number}.1"
        self._veth = f"bjfar{self._number}"
        self._cgroup = f"bjfar{self._number}"
        self._directory = cache_dir() / "far" / str(self._number)
        top = Path(tempfile.gettempdir()).resolve()
        self._hidden = (top, *(path for path in hidden if not path.resolve().is_relative_to(top)))
        self._process: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        self._is_cut = False
        self._last_port = _FIRST_SSH_PORT - 1
        self._ca = trustme.CA()
        shutil.rmtree(self._directory, ignore_errors=True)
        for name in ("docker", "home", "keys"):
            (self._directory / name).mkdir(parents=True)
        self.users = far_users.FarUsers(self._directory, self.address)
        self._write_certificates()
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def engine_url(self) -> str:
        """Its engine's socket as root of this machine reaches it, whatever the network does."""
        return f"unix:///proc/{self._init_pid}/root/run/docker.sock"

    @property
    def tls_url(self) -> str:
        """Its engine's address with TLS; see `certificates`."""
        return f"tcp://{self.address}:{TLS_PORT}"

    @property
    def is_on(self) -> bool:
        """Whether it is switched on."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Switch it on and wait for its engine and its ssh server; harmless when it is on."""
        if self.is_on:
            return
        stage, orders = self._directory / "stage", self._directory / "orders"
        stage.unlink(missing_ok=True)
        orders.unlink(missing_ok=True)
        os.mkfifo(orders, 0o600)
        init = _INIT.format(
            name=self.name,
            directory=shlex.quote(str(self._directory)),
            interface=_INTERFACE,
            address=self.address,
            near_address=self.near_address,
            hidden=" ".join(shlex.quote(str(path)) for path in self._hidden),
        )
        namespaces = ("--pid", "--mount-proc", "--mount", "--uts", "--ipc", "--net")
        command = ["setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--kill-child=KILL", *namespaces]
        self._process = _starter.submit(
            subprocess.Popen,
            [*command, "--propagation", "private", "bash", "-c", init],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={"PATH": SEARCH, "HOME": "/root"},
        ).result()
        leaks.leave_out(self._process.pid)
        self._is_cut = False
        if (
            not wait_until(lambda: stage.exists() or not self.is_on, timeout_s=START_TIMEOUT_S)
            or not self.is_on
        ):
            raise ServiceUnavailableError(
                f"no second machine can be made here: {self._last_words('init.log')}"
            )
        pid = self._process.pid
        self._init_pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        self._connect_cable()
        self.order(f"exec {shutil.which('sshd', path=SEARCH)} -D -e -f /etc/ssh/far.conf -p 22 2>&4")
        self.start_docker()
        self._wait_for_port(22)

    def kill(self) -> None:
        """Switch it off without warning."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        # What runs there ends only then, and would still hold its files when the next engine starts over them.
        gone = wait_until(lambda: process_start(self._init_pid) is None, timeout_s=CALL_TIMEOUT_S)
        assert gone, f"{self.name} is still on"
        self._init_pid = 0
        with contextlib.suppress(ServiceUnavailableError):
            run(["ip", "link", "del", self._veth], timeout_s=CALL_TIMEOUT_S)
        self._is_cut = False

    def reboot(self, *, orderly: bool = False) -> None:
        """Switch it off and on; ``orderly`` stops its engine first, which stops its containers."""
        if orderly:
            self.stop_docker()
        self.kill()
        self.start()

    def close(self) -> None:
        """Switch it off for good; nothing of it is left."""
        self.kill()
        _remove_cgroups(self._cgroup)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._lock.close()

    def cut(self) -> None:
        """Let packets vanish, both ways; no side is told."""
        if not self._is_cut:
            self._is_cut = True
            self._filter("-I")

    def heal(self) -> None:
        """Let packets through again."""
        if self._is_cut:
            self._filter("-D")
            self._is_cut = False

    def order(self, command: str) -> None:
        """Let process 1 start a command there as root, in the background."""
        with (self._directory / "orders").open("w") as orders:
            orders.write(f"{command}\n")

    def shell(self, script: str) -> str:
        """Run a script there as root, and return what it printed."""
        inside = ["nsenter", "-t", str(self._init_pid), "-m", "-u", "-i", "-n", "-p", "--wd=/"]
        return run(
            [*inside, "sh", "-c", script], timeout_s=CALL_TIMEOUT_S, env={"PATH": SEARCH, "HOME": "/root"}
        )

    def write(self, path: str, text: str) -> None:
        """Write a file there."""
        Path(f"/proc/{self._init_pid}/root{path}").write_text(text)

    def start_docker(self) -> None:
        """Start its engine, and wait until it answers; harmless when it runs."""
        if docker_engine.answers(self.engine_url):
            return
        certificates = "--tlsverify --tlscacert /etc/docker/ca.pem --tlscert /etc/docker/cert.pem"
        self.order(
            "exec dockerd -H unix:///var/run/docker.sock"
            f" -H tcp://{self.address}:{TLS_PORT} {certificates} --tlskey /etc/docker/key.pem"
            f" --cgroup-parent {self._cgroup} --exec-opt native.cgroupdriver=cgroupfs --log-level=warn >&5 2>&5"
        )
        if not wait_until(lambda: docker_engine.answers(self.engine_url), timeout_s=START_TIMEOUT_S):
            raise ServiceUnavailableError(
                f"no second Docker Engine starts here: {self._last_words('dockerd.log')}"
            )

    def stop_docker(self) -> None:
        """Stop its engine in good order; the machine stays."""
        self.shell("kill $(cat /run/docker.pid); while [ -e /run/docker.pid ]; do sleep 0.05; done")

    def sshd(self, **options: str) -> int:
        """Start a further ssh server with other options, and return its port; `reset` ends it."""
        self._last_port += 1
        port = self._last_port
        words = " ".join(shlex.quote(f"-o{name}={value}") for name, value in options.items())
        program = shutil.which("sshd", path=SEARCH)
        # The first value counts: options on the command line go before those of the file.
        pid_file = f"/run/sshd/{port}.pid"
        self.order(f"exec {program} -D -e {words} -oPidFile={pid_file} -f /etc/ssh/far.conf -p {port} 2>&4")
        self._wait_for_port(port)
        # Written once it listens; `reset` ends what has one.
        if not wait_until(Path(f"/proc/{self._init_pid}/root{pid_file}").exists, timeout_s=START_TIMEOUT_S):
            raise ServiceUnavailableError(f"an ssh server has no PID file: {self._last_words('sshd.log')}")
        return port

    def reset(self) -> None:
        """Make it as new: on, reachable, without further ssh servers, containers and volumes."""
        self.start()
        self.heal()
        self.shell(
            "for file in /run/sshd/*.pid; do [ -e $file ] && kill $(cat $file) && rm -f $file; done; true"
        )
        self.shell(
            "[ -e /run/docker.sock ] || [ ! -e /run/hidden.sock ] || mv /run/hidden.sock /run/docker.sock"
        )
        self.start_docker()
        engine = docker_engine.client(self.engine_url)
        try:
            for container in engine.api.containers(all=True):
                engine.api.remove_container(container["Id"], force=True, v=True)
            for volume in engine.api.volumes()["Volumes"] or ():
                engine.api.remove_volume(volume["Name"], force=True)
        finally:
            engine.close()

    def certificates(self, directory: Path, ca: trustme.CA | None = None) -> Path:
        """Write ``ca.pem``, ``cert.pem`` and ``key.pem`` for `tls_url` into a directory, and return it.

        ``ca`` signs the client's certificate instead of the machine's own.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._ca.cert_pem.write_to_path(str(directory / "ca.pem"))
        person = (ca or self._ca).issue_cert("person@tests.invalid")
        person.private_key_pem.write_to_path(str(directory / "key.pem"))
        person.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
        return directory

    def busybox_image(self) -> str:
        """Return the name of a busybox image there."""
        return images.ensure_busybox(self.engine_url)

    def python_image(self) -> str:
        """Return the name of an image with Python 3.11 there."""
        return images.ensure_python(self.engine_url)

    def log(self, name: str = "sshd.log") -> str:
        """Return what its ssh servers (or ``dockerd.log``, ``init.log``) have written."""
        path = self._directory / name
        return path.read_text(errors="replace") if path.exists() else ""

    def _last_words(self, log: str) -> str:
        lines = self.log(log).strip().splitlines()
        return lines[-1][:300] if lines else "it says nothing"

    def _connect_cable(self) -> None:
        with contextlib.suppress(ServiceUnavailableError):
            run(["ip", "link", "del", self._veth], timeout_s=CALL_TIMEOUT_S)
        peer = ["type", "veth", "peer", "name", _INTERFACE, "netns", str(self._init_pid)]
        run(["ip", "link", "add", self._veth, *peer], timeout_s=CALL_TIMEOUT_S)
        run(["ip", "addr", "add", f"{self.near_address}/30", "dev", self._veth], timeout_s=CALL_TIMEOUT_S)
        run(["ip", "link", "set", self._veth, "up"], timeout_s=CALL_TIMEOUT_S)

    def _filter(self, verb: str) -> None:
        inside = ["nsenter", "-t", str(self._init_pid), "-n", "iptables", "-w"]
        for chain, direction in (("INPUT", "-i"), ("OUTPUT", "-o")):
            run([*inside, verb, chain, direction, _INTERFACE, "-j", "DROP"], timeout_s=CALL_TIMEOUT_S)

    def _wait_for_port(self, port: int) -> None:
        def accepts() -> bool:
            with contextlib.suppress(OSError), socket.create_connection((self.address, port), timeout=4):
                return True
            return False

        if not wait_until(accepts, timeout_s=START_TIMEOUT_S):
            raise ServiceUnavailableError(f"no ssh server starts there: {self._last_words('sshd.log')}")

    def _write_certificates(self) -> None:
        directory = self._directory / "etc" / "docker"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        server = self._ca.issue_cert(self.address)
        self._ca.cert_pem.write_to_path(str(directory / "ca.pem"))
        server.private_key_pem.write_to_path(str(directory / "key.pem"))
        server.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))


def _check_machine() -> None:
    if sys.platform != "linux" or not is_root():
        raise ServiceUnavailableError("only root on Linux can make a second machine")
    missing = [name for name in PROGRAMS if shutil.which(name, path=SEARCH) is None]
    if missing:
        raise ServiceUnavailableError(
            f"a second machine needs {', '.join(missing)} (tests/services/install.py)"
        )


def _take_number() -> tuple[int, IO[str]]:
    """Reserve a number that no other process of tests uses; closing the file gives it back."""
    for number in range(1, MOST_MACHINES + 1):
        file = (cache_dir() / f"far-{number}.lock").open("w")
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number, file
        file.close()
    raise ServiceUnavailableError(f"{MOST_MACHINES} second machines run here already")


def _remove_cgroups(name: str) -> None:
    """Remove what a killed engine leaves: a control group for each of its containers."""
    for top in Path("/sys/fs/cgroup").glob(f"*/{name}"):
        for group in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
        with contextlib.suppress(OSError):
            top.rmdir()


@pytest.fixture(scope="session")
def far_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarHost]:
    """A second machine with a Docker Engine and an ssh server."""
    machine = service_or_skip(lambda: FarHost((tmp_path_factory.getbasetemp(),)))
    yield machine
    machine.close()


@pytest.fixture
def far_host(far_machine: FarHost) -> Iterator[FarHost]:
    """The second machine, as new before and after the test."""
    far_machine.reset()
    yield far_machine
    far_machine.reset()
