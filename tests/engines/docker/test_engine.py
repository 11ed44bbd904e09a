"""The docker engine on a real Docker Engine: what a task sees, how it ends, what is left."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.lib.times import parse_rfc3339
from bacalhau_jupyter.models.errors import EngineError, IOFailure, ValidationError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.docker.conftest import Node, derived_image, execution_of, output_of
from tests.services.waiting import until

pytestmark = pytest.mark.usefixtures("no_leaks")

ENTRY, COMMAND = '["/bin/echo", "entry"]', '["/bin/echo", "cmd"]'
OVER, PARAM = ["/bin/echo", "over"], ["/bin/echo", "param"]
# image's ENTRYPOINT, image's CMD, job's Entrypoint, job's Parameters, what the container prints
MATRIX = [
    (0, 0, 0, 0, None),
    (0, 0, 0, 1, "param"),
    (0, 0, 1, 0, "over"),
    (0, 0, 1, 1, "over /bin/echo param"),
    (0, 1, 0, 0, "cmd"),
    (0, 1, 0, 1, "param"),
    (0, 1, 1, 0, "over"),
    (0, 1, 1, 1, "over /bin/echo param"),
    (1, 0, 0, 0, "entry"),
    (1, 0, 0, 1, "entry /bin/echo param"),
    (1, 0, 1, 0, "over"),
    (1, 0, 1, 1, "over /bin/echo param"),
    (1, 1, 0, 0, "entry /bin/echo cmd"),
    (1, 1, 0, 1, "entry /bin/echo param"),
    (1, 1, 1, 0, "over"),
    (1, 1, 1, 1, "over /bin/echo param"),
]


@pytest.fixture
def matrix_images(api: Any, busybox_image: str) -> Iterator[dict[tuple[int, int], str]]:
    images = {}
    for entry in (0, 1):
        for command in (0, 1):
            changes = [f"ENTRYPOINT {ENTRY}"] * entry + [f"CMD {COMMAND}"] * command
            name = f"bacalhau-jupyter-test/matrix-{entry}{command}"
            images[entry, command] = derived_image(api, busybox_image, name, changes)
    yield images
    for image in images.values():
        api.remove_image(image, force=True)


async def test_all_sixteen_cases_of_entrypoint_and_command(
    node: Node, matrix_images: dict[tuple[int, int], str]
) -> None:
    async def printed(case: tuple[int, int, int, int, str | None]) -> str | None:
        entry, command, over, param, _ = case
        params: dict[str, Any] = {"Image": matrix_images[entry, command], "WorkingDirectory": ""}
        params["Entrypoint"] = OVER if over else None
        params["Parameters"] = PARAM if param else None
        try:
            return (await node.run(params)).stdout.strip()
        except EngineError as error:
            assert "no command specified" in error.message.lower()
            return None

    assert await asyncio.gather(*map(printed, MATRIX)) == [case[-1] for case in MATRIX]
    assert node.containers() == []


async def test_the_engines_variables_win_over_the_tasks_and_the_work_directory_is_set(
    node: Node, busybox_image: str
) -> None:
    done = await node.run(
        {
            "Image": busybox_image,
            "Parameters": ["sh", "-c", "echo $A $B $BACALHAU_EXECUTION_ID $PWD"],
            "EnvironmentVariables": ["A=engine", "C=x=y"],
            "WorkingDirectory": "/tmp",
        },
        env={"A": "task", "B": "task", "BACALHAU_EXECUTION_ID": "e-1"},
    )
    assert done.stdout == "engine task e-1 /tmp\n"


async def test_stdout_stderr_and_a_non_zero_exit_code_are_a_normal_end(
    node: Node, busybox_image: str
) -> None:
    done = await node.run(
        {"Image": busybox_image, "Parameters": ["sh", "-c", "echo out; echo err >&2; exit 7"]}
    )
    assert (done.outcome.reason, done.outcome.exit_code, done.outcome.error) == (EndReason.EXITED, 7, None)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


async def test_inputs_are_read_only_and_outputs_come_back(
    node: Node, busybox_image: str, tmp_path: Path
) -> None:
    source = tmp_path / "data"
    source.mkdir()
    (source / "a.txt").write_text("hello")
    request = node.request(
        {
            "Image": busybox_image,
            "Parameters": ["sh", "-c", "cat /inputs/a.txt > /outputs/b.txt; echo x > /inputs/a.txt"],
        },
        inputs=[InputMount(source, "/inputs")],
        outputs={"outputs": "/outputs"},
    )
    await node.engine.start(request)
    outcome = await node.engine.wait(request.execution.id)
    assert outcome.exit_code == 1
    assert "Read-only file system" in output_of(request.log_path)[1]
    assert (request.outputs[0].path / "b.txt").read_text() == "hello"
    assert (source / "a.txt").read_text() == "hello"
    await node.engine.clean(request.execution.id)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
@pytest.mark.root
async def test_what_is_mounted_below_a_read_only_input_is_read_only_too(
    node: Node, busybox_image: str, tmp_path: Path
) -> None:
    below = tmp_path / "data" / "a b"
    below.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", below], check=True)
    try:
        (below / "f").write_text("seen\n")
        command = 'cat "/inputs/a b/f"; touch "/inputs/a b/new" /inputs/new'
        done = await node.run(
            {"Image": busybox_image, "Parameters": ["sh", "-c", command]},
            inputs=[InputMount(tmp_path / "data", "/inputs")],
        )
        assert done.stdout == "seen\n"
        assert done.stderr.count("Read-only file system") == 2
        assert [path.name for path in below.iterdir()] == ["f"]
    finally:
        subprocess.run(["umount", below], check=True)


async def test_a_writable_input_can_be_changed(node: Node, busybox_image: str, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    await node.run(
        {"Image": busybox_image, "Parameters": ["sh", "-c", "echo new > /data/f"]},
        inputs=[InputMount(tmp_path / "shared", "/data", read_only=False)],
    )
    assert (tmp_path / "shared" / "f").read_text() == "new\n"


async def test_an_image_with_another_user_can_write_its_outputs(
    node: Node, api: Any, busybox_image: str
) -> None:
    image = derived_image(api, busybox_image, "bacalhau-jupyter-test/user", ["USER 1234:1234"])
    try:
        request = node.request(
            {"Image": image, "Parameters": ["sh", "-c", "id -u > /outputs/uid"]},
            outputs={"outputs": "/outputs"},
        )
        await node.engine.start(request)
        assert (await node.engine.wait(request.execution.id)).exit_code == 0
        assert (request.outputs[0].path / "uid").read_text() == "1234\n"
        await node.engine.clean(request.execution.id)
    finally:
        api.remove_image(image, force=True)


@pytest.mark.parametrize("cpu", [0.1, 0.3, 0.5, 0.8, 1.0])
async def test_limits_are_there_when_the_program_begins(cpu: float, node: Node, busybox_image: str) -> None:
    """A JVM, Go or Python reads its control group once, at once."""
    read = (
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes "
        "/sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null"
    )
    done = await node.run(
        {"Image": busybox_image, "Parameters": ["sh", "-c", read]},
        resources=Resources(cpu=cpu, memory=64 << 20),
    )
    memory, quota, period = done.stdout.split()
    assert int(memory) == 64 << 20
    assert int(quota) / int(period) == pytest.approx(cpu, rel=0.001)


async def test_whole_cpus_are_limited_from_the_start_and_identity_is_on_the_container(
    node: Node, busybox_image: str
) -> None:
    request = node.request(
        {"Image": busybox_image, "Parameters": ["sleep", "60"]}, resources=Resources(cpu=1.0, memory=64 << 20)
    )
    await node.engine.start(request)
    (container,) = node.containers()
    node_id, execution_id = node.options.node_id, request.execution.id
    assert container["Name"] == f"/bacalhau-{node_id}-j-test-{execution_id}-executor"
    labels = container["Config"]["Labels"]
    assert parse_rfc3339(labels.pop("bacalhau-created")) > 0
    assert labels == {
        "bacalhau-owner": f"{getpass.getuser()}@{socket.gethostname()}",
        "bacalhau-executor": node_id,
        "bacalhau-jobID": f"{node_id}j-test",
        "bacalhau-executionID": f"{node_id}{execution_id}",
    }
    host = container["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (1_000_000_000, 64 << 20, 64 << 20)
    assert container["Config"]["Tty"] is False
    await node.engine.cancel(execution_id)


async def test_too_much_memory_ends_with_an_error_that_names_the_memory(
    node: Node, busybox_image: str
) -> None:
    # On a busy machine an engine may lose the news of the kill, event and mark alike: exit 137 is all there is then.
    for _ in range(3):
        done = await node.run(
            {"Image": busybox_image, "Parameters": ["tail", "/dev/zero"]},
            resources=Resources(memory=16 << 20),
        )
        if done.outcome.exit_code != 137 or done.outcome.reason is EndReason.OOM:
            break
    assert done.outcome.reason is EndReason.OOM
    assert done.outcome.error is not None
    assert done.outcome.error.message == "memory limit exceeded"
    assert "17 MB" in done.outcome.error.hint


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"Parameters": ["no-such-program"]}, 'exec: "no-such-program": executable file not found in $PATH'),
        ({"Entrypoint": ["/etc/nothing"]}, 'exec: "/etc/nothing"'),
        ({"Parameters": ["true"], "WorkingDirectory": "/bin/sh"}, "/bin/sh is not a directory"),
    ],
)
async def test_a_program_that_can_not_start_is_an_error_and_leaves_no_container(
    node: Node, busybox_image: str, params: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(EngineError) as refused:
        await node.run({"Image": busybox_image, **params})
    assert sentence in refused.value.message
    assert refused.value.fails_execution
    assert "\n" not in refused.value.message
    assert node.containers() == []


async def test_a_missing_input_is_refused_not_replaced_by_an_empty_directory(
    node: Node, busybox_image: str, tmp_path: Path
) -> None:
    with pytest.raises(IOFailure, match=r"input /inputs can't be opened: .*gone: No such file"):
        await node.run(
            {"Image": busybox_image, "Parameters": ["true"]},
            inputs=[InputMount(tmp_path / "gone", "/inputs")],
        )
    assert not (tmp_path / "gone").exists()


async def test_starting_twice_runs_once(node: Node, busybox_image: str) -> None:
    request = node.request(
        {"Image": busybox_image, "Parameters": ["sh", "-c", "echo run >> /outputs/count"]},
        outputs={"outputs": "/outputs"},
    )
    await node.engine.start(request)
    await node.engine.wait(request.execution.id)
    restarted = node.another()
    await restarted.probe()
    await restarted.start(request)
    assert (await restarted.wait(request.execution.id)).exit_code == 0
    assert (request.outputs[0].path / "count").read_text() == "run\n"
    await restarted.close()
    await node.engine.clean(request.execution.id)


async def test_a_container_that_was_made_but_never_started_is_taken_over(
    node: Node, api: Any, busybox_image: str
) -> None:
    request = node.request({"Image": busybox_image, "Parameters": ["echo", "mine"]})
    await node.engine.start(request)
    await node.engine.wait(request.execution.id)
    (before,) = node.containers()
    await node.engine.clean(request.execution.id)
    # As a node that was killed between "create" and "start" leaves it.
    api.create_container_from_config(
        {**before["Config"], "HostConfig": before["HostConfig"]}, name=before["Name"].lstrip("/")
    )
    assert await node.engine.attach(request) is False
    request.log_path.unlink()
    await node.engine.start(request)
    assert (await node.engine.wait(request.execution.id)).exit_code == 0
    assert output_of(request.log_path)[0] == "mine\n"
    await node.engine.clean(request.execution.id)


async def test_a_foreign_container_with_our_name_is_left_alone(
    node: Node, api: Any, busybox_image: str
) -> None:
    request = node.request({"Image": busybox_image, "Parameters": ["true"]})
    name = f"bacalhau-{node.options.node_id}-j-test-{request.execution.id}-executor"
    foreign = api.create_container(busybox_image, ["true"], name=name)["Id"]
    try:
        with pytest.raises(EngineError, match="is not this node's"):
            await node.engine.start(request)
        assert api.inspect_container(foreign)["State"]["Status"] == "created"
    finally:
        api.remove_container(foreign)


async def test_cancelling_ends_a_task_that_ignores_signals_and_leaves_nothing(
    node: Node, busybox_image: str
) -> None:
    request = node.request(
        {
            "Image": busybox_image,
            "Parameters": ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"],
        }
    )
    await node.engine.start(request)
    # From now on it ignores them.
    await until(lambda: output_of(request.log_path)[0] == "up\n")
    waiting = asyncio.create_task(node.engine.wait(request.execution.id))
    await node.engine.cancel(request.execution.id)
    outcome = await asyncio.wait_for(waiting, 60)
    assert outcome.reason is EndReason.CANCELLED
    assert output_of(request.log_path) == ("up\n", "", True)
    assert node.containers() == []
    await node.engine.cancel(request.execution.id)
    await node.engine.clean(request.execution.id)


async def test_cancelling_what_is_unknown_or_ended_does_nothing(node: Node, busybox_image: str) -> None:
    await node.engine.cancel("e-unknown")
    await node.engine.clean("e-unknown")
    request = node.request({"Image": busybox_image, "Parameters": ["true"]})
    await node.engine.start(request)
    before = await node.engine.wait(request.execution.id)
    await node.engine.cancel(request.execution.id)
    assert await node.engine.wait(request.execution.id) == before
    await node.engine.clean(request.execution.id)


async def test_a_start_that_is_interrupted_leaves_nothing_but_a_program_that_has_begun(
    node: Node, busybox_image: str
) -> None:
    requests = [node.request({"Image": busybox_image, "Parameters": ["sleep", "60"]}) for _ in range(4)]
    for delay_s, request in zip((0.0, 0.005, 0.03, 0.06), requests, strict=True):
        starting = asyncio.create_task(node.engine.start(request))
        await asyncio.wait({starting}, timeout=delay_s)
        # A quick engine may have started it by now.
        if starting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await starting
        # A node that is being stopped finds it again; whoever wants it gone says so.
        assert all(container["State"]["Status"] == "running" for container in node.containers())
        await node.engine.cancel(request.execution.id)
        assert node.containers() == []


async def test_cancelling_together_with_an_interrupted_start_leaves_nothing(
    node: Node, busybox_image: str
) -> None:
    # What a compute node does when a job is stopped while its container is being made.
    for delay_s in (0.0, 0.01, 0.05, 0.1):
        request = node.request({"Image": busybox_image, "Parameters": ["sleep", "60"]})
        starting = asyncio.create_task(node.engine.start(request))
        await asyncio.wait({starting}, timeout=delay_s)
        starting.cancel()
        await asyncio.gather(node.engine.cancel(request.execution.id), starting, return_exceptions=True)
        assert node.containers() == []


async def test_existing_names_what_the_sweep_must_look_at(node: Node, busybox_image: str) -> None:
    requests = [
        node.request({"Image": busybox_image, "Parameters": [program, "60"]}) for program in ("sleep", "true")
    ]
    for request in requests:
        await node.engine.start(request)
    await node.engine.wait(requests[1].execution.id)
    restarted = node.another()
    await restarted.probe()
    assert sorted(await restarted.existing()) == sorted(request.execution.id for request in requests)
    for identifier in await restarted.existing():
        await restarted.clean(identifier)
    assert await restarted.existing() == []
    await restarted.close()


@pytest.mark.parametrize(
    ("network", "mode"),
    [
        (NetworkConfig(), "bridge"),
        (NetworkConfig(type=NetworkType.BRIDGE), "bridge"),
        (NetworkConfig(type=NetworkType.HOST), "host"),
        (NetworkConfig(type=NetworkType.NONE), "none"),
    ],
)
async def test_network_types_become_the_engines_modes(
    node: Node, busybox_image: str, network: NetworkConfig, mode: str
) -> None:
    request = node.request({"Image": busybox_image, "Parameters": ["ls", "/sys/class/net"]}, network=network)
    await node.engine.start(request)
    await node.engine.wait(request.execution.id)
    (container,) = node.containers()
    assert container["HostConfig"]["NetworkMode"] == mode
    assert ("eth0" in output_of(request.log_path)[0].split()) is (mode == "bridge") or mode == "host"
    await node.engine.clean(request.execution.id)


async def test_bad_parameters_name_every_member_that_is_wrong(node: Node) -> None:
    params = {"Image": "a", "EnvironmentVariables": ["bacalhau_x=1", "novalue"], "WorkingDirectory": "tmp"}
    with pytest.raises(ValidationError) as refused:
        await node.engine.bid(execution_of(params))
    assert len(refused.value.problems) == 3
    for word in ("bacalhau_x", "novalue", "WorkingDirectory"):
        assert word in refused.value.message


async def test_an_engine_that_was_not_found_gives_that_reason_for_every_call(
    tmp_path: Path, node: Node
) -> None:
    engine = DockerEngine(node.options, env={"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    availability = await engine.probe()
    assert not availability.available
    assert "none.sock (DOCKER_HOST) does not exist" in availability.problem
    with pytest.raises(EngineError, match="this node has found no Docker Engine"):
        await engine.existing()
    await engine.close()
