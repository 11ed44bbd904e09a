"""Containers without a network: they know their own loopback by its name, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import launch
from bacalhau_jupyter.engines.docker.files.hosts import CONTENT, own_hosts
from bacalhau_jupyter.engines.docker.files.placement import Placement
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.docker.conftest import Node

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("no_leaks")]

# Serves itself over its own loopback, by name, and shows what there is of interfaces.
TALK = """
import os, socket
server = socket.create_server(("localhost", 0))
client = socket.create_connection(("localhost", server.getsockname()[1]))
client.sendall(b"hello")
print(server.accept()[0].recv(5).decode(), *os.listdir("/sys/class/net"))
try:
    socket.create_connection(("192.0.2.1", 80), 5)
except OSError as error:
    print(error.strerror)
"""
UNKNOWN = "import socket\ntry: socket.getaddrinfo('localhost', 80)\nexcept OSError as error: print('unknown')"


@pytest.fixture(params=[Placement.BIND, Placement.ARCHIVE], ids=lambda kind: kind.value)
def placement(request: pytest.FixtureRequest) -> Placement:
    """Both ways that files reach a container."""
    placement: Placement = request.param
    return placement


async def test_a_task_without_a_network_talks_to_itself_by_name_and_to_nobody_else(
    node: Node, python_image: str
) -> None:
    done = await node.run({"Image": python_image, "Parameters": ["python3", "-c", TALK]})
    assert done.stdout == "hello lo\nNetwork is unreachable\n", done.stderr


async def test_the_engine_alone_would_leave_localhost_unknown(
    node: Node, python_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the test above."""
    monkeypatch.setattr(launch, "own_hosts", lambda _request: True)
    done = await node.run({"Image": python_image, "Parameters": ["python3", "-c", UNKNOWN]})
    assert done.stdout == "unknown\n", done.stderr


async def test_a_task_has_the_engines_usual_names_and_its_own_host_name(
    node: Node, busybox_image: str
) -> None:
    command = "cat /etc/hosts; [ $(cat /etc/hostname) = $(hostname) ] && echo same"
    done = await node.run({"Image": busybox_image, "Parameters": ["sh", "-c", command]})
    assert done.stdout == CONTENT.decode() + "same\n"


async def test_a_mounted_file_of_names_can_not_be_written(node: Node, busybox_image: str) -> None:
    if node.placement is Placement.ARCHIVE:
        pytest.skip("a copied one is the container's own")
    command = "echo 10.0.0.1 elsewhere >> /etc/hosts || echo refused"
    done = await node.run({"Image": busybox_image, "Parameters": ["sh", "-c", command]})
    assert done.stdout == "refused\n"


async def test_an_input_may_be_the_file_of_names(node: Node, busybox_image: str, tmp_path: Path) -> None:
    (tmp_path / "names").write_text("127.0.0.1 mine\n")
    done = await node.run(
        {"Image": busybox_image, "Parameters": ["cat", "/etc/hosts"]},
        inputs=[InputMount(tmp_path / "names", "/etc/hosts", True)],
    )
    assert done.stdout == "127.0.0.1 mine\n"


async def test_only_tasks_without_a_network_are_made_so(node: Node, busybox_image: str) -> None:
    made: dict[str, Any] = {}
    for kind in (NetworkType.NONE, NetworkType.BRIDGE, NetworkType.HOST):
        request = node.request(
            {"Image": busybox_image, "Parameters": ["true"]}, network=NetworkConfig(type=kind)
        )
        await node.engine.start(request)
        await node.engine.wait(request.execution.id)
        (container,) = (each for each in node.containers() if not each["Name"].endswith("-files"))
        made[kind.value] = bool(container["Config"].get("NetworkDisabled"))
        await node.engine.clean(request.execution.id)
    assert made == {
        NetworkType.NONE.value: True,
        NetworkType.BRIDGE.value: False,
        NetworkType.HOST.value: False,
    }


@pytest.mark.parametrize(
    ("target", "own"),
    [
        ("/etc/hosts", True),
        ("/etc", True),
        ("/etc/", True),
        ("/", True),
        ("/etc/hosts.d", False),
        ("/data", False),
    ],
)
def test_what_holds_the_file_of_names_counts_as_ones_own(
    target: str, own: bool, node: Node, tmp_path: Path
) -> None:
    request = node.request({"Image": "a"}, inputs=[InputMount(tmp_path, target, True)])
    assert own_hosts(request) is own
