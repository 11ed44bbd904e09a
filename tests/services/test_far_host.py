"""The second machine: it is another one, and ends without a trace."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.services import docker_engine
from tests.services import far_host as far
from tests.services.common import ServiceUnavailableError, process_start, run, wait_until
from tests.services.far_host import FarHost
from tests.services.far_users import Way

CHILD = """
import sys
from tests.services.far_host import FarHost
machine = FarHost()
print(machine._init_pid, machine._veth, flush=True)
sys.stdin.read()
"""


def ssh(far_host: FarHost, directory: Path, command: str, user: str = "alice") -> str:
    config = far_host.users.config(directory / "config", gpu1=Way(user=user))
    return run(["ssh", "-F", str(config), "-o", "BatchMode=yes", "gpu1", command], timeout_s=60)


def test_a_container_runs_there_over_plain_ssh(far_host: FarHost, tmp_path: Path) -> None:
    image = far_host.busybox_image()
    printed = ssh(
        far_host, tmp_path, f"docker run --rm --network none {image} sh -c 'echo $((6 * 7)) of $(hostname)'"
    )
    assert printed.startswith("42 of ")


def test_it_is_another_machine(far_host: FarHost, tmp_path: Path) -> None:
    assert ssh(far_host, tmp_path, "hostname; id -un").split() == [far_host.name, "alice"]
    (tmp_path / "here").touch()
    assert far_host.shell(f"ls {tmp_path.parent} 2>/dev/null || true") == ""
    near = docker_engine.find()
    assert near != far_host.engine_url


def test_who_is_not_in_the_group_may_not_use_its_engine(far_host: FarHost, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailableError, match="permission denied"):
        ssh(far_host, tmp_path, "docker ps 2>&1", user="bob")


def test_it_can_be_cut_off_and_healed(far_host: FarHost) -> None:
    far_host.cut()
    with pytest.raises(TimeoutError):
        socket.create_connection((far_host.address, 22), timeout=1)
    far_host.heal()
    with socket.create_connection((far_host.address, 22), timeout=60) as connection:
        assert connection.recv(4) == b"SSH-"


def test_its_images_and_containers_outlive_a_loss_of_power(far_host: FarHost) -> None:
    image = far_host.busybox_image()
    engine = docker_engine.client(far_host.engine_url)
    container = engine.api.create_container(image, ["sleep", "1000"])["Id"]
    engine.api.start(container)
    engine.close()
    far_host.reboot()
    engine = docker_engine.client(far_host.engine_url)
    state = engine.api.inspect_container(container)["State"]
    engine.close()
    assert (state["Status"], state["ExitCode"]) == ("exited", 255)


def test_it_stays_on_after_the_thread_that_switched_it_on(far_host: FarHost) -> None:
    thread = threading.Thread(target=far_host.reboot)
    thread.start()
    thread.join()
    process = far_host._process
    assert process is not None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    assert far_host.shell("hostname").strip() == far_host.name


def test_all_that_runs_there_has_ended_when_it_is_off(
    far_host: FarHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    init, alive = far_host._init_pid, []

    def look(*command: Any, **named: Any) -> str:
        alive.append(process_start(init))
        return run(*command, **named)

    # The end of so many takes a moment.
    far_host.shell("for i in $(seq 200); do sleep 600 >/dev/null 2>&1 & done")
    monkeypatch.setattr(far, "run", look)
    far_host.kill()
    assert alive == [None]


def test_its_engine_can_be_stopped_while_it_stays(far_host: FarHost, tmp_path: Path) -> None:
    far_host.stop_docker()
    assert not docker_engine.answers(far_host.engine_url)
    assert ssh(far_host, tmp_path, "echo there") == "there\n"
    far_host.start_docker()
    assert docker_engine.answers(far_host.engine_url)


def test_further_ssh_servers_have_options_of_their_own(far_host: FarHost, tmp_path: Path) -> None:
    port = far_host.sshd(PubkeyAuthentication="no")
    config = far_host.users.config(tmp_path / "config", gpu1=Way(port=port))
    with pytest.raises(ServiceUnavailableError, match="Permission denied"):
        run(["ssh", "-F", str(config), "-o", "BatchMode=yes", "gpu1", "true"], timeout_s=60)


def test_nothing_is_left_of_it_when_its_process_is_killed(far_machine: FarHost) -> None:
    """Asks for the machine first, so that this is skipped where none can be made."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        pid, veth = child.stdout.readline().decode().split()
        os.kill(child.pid, signal.SIGKILL)
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), timeout_s=60)
    assert wait_until(lambda: not Path(f"/sys/class/net/{veth}").exists(), timeout_s=60)
    assert far_machine.is_on
