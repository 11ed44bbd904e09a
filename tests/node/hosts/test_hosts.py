"""Docker hosts of a node: the second machine, over real ssh."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.models.errors import BadRequest, Conflict, NotFound
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.host_orders import RemoveHost
from bacalhau_jupyter.models.records.hosts import HostRecord, HostState
from bacalhau_jupyter.models.wire import api as wire
from bacalhau_jupyter.node.hosts import leaving
from bacalhau_jupyter.node.hosts.trials import NEW_AND_AWAY
from bacalhau_jupyter.node.node import Node
from tests.node.hosts.conftest import MakeConfig, client_of, order
from tests.services.far_host import FarHost
from tests.services.node import running_node
from tests.services.waiting import found, until


async def job_state(api: AsyncAPI, job: str) -> JobStateType:
    return (await api.get_job(job)).job.state.state_type


async def ended(api: AsyncAPI, job: str) -> JobStateType:
    async def is_over() -> bool:
        return (await api.get_job(job)).job.is_terminal

    await until(is_over, timeout_s=90)
    return await job_state(api, job)


async def submit(api: AsyncAPI, far_host: FarHost, command: str, **options: object) -> str:
    job = docker(far_host.busybox_image(), ["sh", "-c", command], host="gpu1", **options)  # type: ignore[arg-type]
    answer: wire.PutJobResponse = await api.submit(job)
    return answer.job_id


async def in_state(api: AsyncAPI, name: str, *states: HostState) -> HostRecord:
    async def reached() -> bool:
        return (await api.hosts.show(name)).state in states

    await until(reached, timeout_s=60)
    return await api.hosts.show(name)


async def test_a_host_that_is_added_runs_the_next_job(far_host: FarHost, node: Node, api: AsyncAPI) -> None:
    added = await api.hosts.add(order(far_host))
    assert added.state is HostState.READY
    assert added.facts is not None
    assert added.facts.machine == far_host.name
    assert added.facts.resources.cpu > 0
    assert added.facts.resources.disk > 0
    assert added.facts.architecture in ("amd64", "arm64")
    # It is known as well as the moment of the answer.
    assert abs(added.facts.skew_ms) < 5000 + added.facts.round_trip_ms / 2
    job = await submit(api, far_host, "hostname; echo there > outputs/where 2>/dev/null; true")
    assert await ended(api, job) is JobStateType.COMPLETED
    executions = (await api.executions(job)).items
    assert [each.node_id for each in executions] == [f"{node.node_id}-gpu1"]
    output = executions[0].run_output
    assert output is not None
    assert output.exit_code == 0
    states = {each.info.node_id: each for each in (await api.nodes()).nodes}
    labels = states[added.node_id].info.labels
    assert labels["host"] == "gpu1"
    assert labels["os_type"] == "linux"
    # Its own capacity, not that of this machine: 80 % of what is there.
    most = states[added.node_id].info.compute_node_info.max_capacity
    assert most.cpu == pytest.approx(0.8 * added.facts.resources.cpu)


async def test_what_does_not_work_is_told_and_nothing_is_kept(
    far_host: FarHost, node: Node, api: AsyncAPI
) -> None:
    unknown = order(far_host, trust="")
    trial = await api.hosts.try_out(unknown)
    assert not trial.ok
    assert trial.fingerprint == far_host.users.fingerprint
    with pytest.raises(BadRequest, match="not known"):
        await api.hosts.add(unknown)
    with pytest.raises(BadRequest, match="may not use Docker"):
        await api.hosts.add(order(far_host, "bob"))
    with pytest.raises(BadRequest, match="does not let"):
        await api.hosts.add(order(far_host, "nobody"))
    with pytest.raises(BadRequest, match="password"):
        await api.hosts.add(order(far_host, url="ssh://alice:secret@gpu1"))
    with pytest.raises(BadRequest, match=r"^the host was not added: its address may not hold a password"):
        await api.hosts.add(order(far_host, url="alice:secret@gpu1", name=""))
    assert not (node.repo.path / "hosts.yaml").exists()
    assert (await api.hosts.list()).items == []
    assert [each.info.node_id for each in (await api.nodes()).nodes] == [node.node_id]
    with pytest.raises(NotFound, match="there is no host gpu1"):
        await api.hosts.show("gpu1")


async def test_a_new_host_that_says_nothing_has_no_jobs_that_go_on(far_host: FarHost, api: AsyncAPI) -> None:
    far_host.cut()
    trial = await api.hosts.try_out(order(far_host, trust=""))
    assert [step.hint for step in trial.steps if step.ok is False] == [NEW_AND_AWAY]
    with pytest.raises(BadRequest, match=r"^host gpu1 was not added: gpu1 does not answer$") as caught:
        await api.hosts.add(order(far_host, trust=""))
    assert caught.value.hint == NEW_AND_AWAY


async def test_a_node_that_is_started_again_has_its_hosts_and_waits_for_none(
    far_host: FarHost, node_config: MakeConfig
) -> None:
    async with running_node(node_config(WebUI__Enabled=False)) as node, client_of(node) as api:
        await api.hosts.add(order(far_host))
        with pytest.raises(Conflict, match="there is a host gpu1 already"):
            await api.hosts.add(order(far_host))
        assert (node.repo.path / "hosts.yaml").stat().st_mode & 0o777 == 0o600
    far_host.cut()
    async with running_node(node_config(WebUI__Enabled=False)) as node, client_of(node) as api:
        (away,) = (await api.hosts.list()).items
        assert away.state in (HostState.CONNECTING, HostState.UNREACHABLE)
        # What it had is known from the last time.
        assert away.facts is not None
        away = await in_state(api, "gpu1", HostState.UNREACHABLE)
        assert "gpu1 does not answer" in away.problem
        job = await submit(api, far_host, "true")

        async def is_explained() -> bool:
            verdicts = (await api.explain(job)).nodes
            return any("gpu1 does not answer" in each.reason for each in verdicts)

        await until(is_explained, timeout_s=60)
        assert not (await api.get_job(job)).job.is_terminal
        far_host.heal()
        assert await ended(api, job) is JobStateType.COMPLETED


async def test_a_paused_host_takes_nothing_new_until_it_is_resumed(far_host: FarHost, api: AsyncAPI) -> None:
    await api.hosts.add(order(far_host))
    paused = await api.hosts.pause("gpu1")
    assert paused.state is HostState.PAUSED
    job = await submit(api, far_host, "true")

    async def waits() -> bool:
        verdicts = (await api.explain(job)).nodes
        return any("host gpu1 is paused" in each.reason for each in verdicts)

    await until(waits, timeout_s=60)
    await api.hosts.resume("gpu1")
    assert await ended(api, job) is JobStateType.COMPLETED


async def test_a_host_with_jobs_is_removed_as_the_person_says(
    far_host: FarHost, node: Node, api: AsyncAPI
) -> None:
    await api.hosts.add(order(far_host))
    job = await submit(api, far_host, "sleep 600")

    async def is_running() -> bool:
        return (
            await job_state(api, job) is JobStateType.RUNNING
            and (await api.hosts.show("gpu1")).executions == 1
        )

    await until(is_running, timeout_s=90)
    with pytest.raises(NotFound, match="there is no host gup1") as unknown:
        await api.hosts.remove("gup1", RemoveHost())
    assert unknown.value.hint == "did you mean gpu1?"
    with pytest.raises(Conflict, match="1 job of this node is on host gpu1"):
        await api.hosts.remove("gpu1", RemoveHost())
    with pytest.raises(BadRequest, match="does not say"):
        await api.hosts.remove("gpu1", RemoveHost(jobs="burn"))
    waiting = await api.hosts.remove("gpu1", RemoveHost(jobs="wait"))
    assert waiting.state is HostState.REMOVING
    await api.hosts.remove("gpu1", RemoveHost(jobs="cancel"))
    # It is not begun again elsewhere, and does not fail.
    assert await job_state(api, job) is JobStateType.STOPPED
    assert (await api.hosts.list()).items == []
    assert "gpu1" not in (node.repo.path / "hosts.yaml").read_text()
    assert [each.info.node_id for each in (await api.nodes()).nodes] == [node.node_id]


async def test_a_host_whose_jobs_do_not_end_is_not_told_to_be_removed(
    far_host: FarHost, node: Node, api: AsyncAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.hosts.add(order(far_host))
    job = await submit(api, far_host, "trap '' TERM; sleep 600")

    async def is_running() -> bool:
        return await job_state(api, job) is JobStateType.RUNNING

    await until(is_running, timeout_s=90)
    with monkeypatch.context() as patch:
        patch.setattr(leaving, "END_S", 0.0)
        with pytest.raises(Conflict, match="1 job on host gpu1 did not end within 0 s: it was not removed"):
            await api.hosts.remove("gpu1", RemoveHost(jobs="cancel"))
    assert (await api.hosts.show("gpu1")).state is HostState.PAUSED
    assert "gpu1" in (node.repo.path / "hosts.yaml").read_text()
    await api.hosts.remove("gpu1", RemoveHost(jobs="cancel"))
    assert (await api.hosts.list()).items == []


async def test_a_host_that_waits_for_its_jobs_is_removed_after_a_restart_of_the_node(
    far_host: FarHost, node_config: MakeConfig
) -> None:
    async with running_node(node_config(WebUI__Enabled=False)) as node, client_of(node) as api:
        await api.hosts.add(order(far_host))
        job = await submit(api, far_host, "sleep 600")

        async def is_running() -> bool:
            return await job_state(api, job) is JobStateType.RUNNING

        await until(is_running, timeout_s=90)
        await api.hosts.remove("gpu1", RemoveHost(jobs="wait"))
        file = node.repo.path / "hosts.yaml"
        assert "removing: true" in file.read_text()
    async with running_node(node_config(WebUI__Enabled=False)) as node, client_of(node) as api:
        assert (await api.hosts.show("gpu1")).state is HostState.REMOVING

        async def has_its_job() -> bool:
            return (await api.hosts.show("gpu1")).executions == 1

        await until(has_its_job, timeout_s=90)
        await api.stop(job)

        async def is_gone() -> bool:
            return not (await api.hosts.list()).items

        await until(is_gone, timeout_s=90)
        await until(lambda: "gpu1" not in file.read_text(), timeout_s=60)


async def test_the_file_is_read_again_when_a_person_changes_it(
    far_host: FarHost, node: Node, api: AsyncAPI
) -> None:
    await api.hosts.add(order(far_host))
    file: Path = node.repo.path / "hosts.yaml"
    text = file.read_text()
    file.write_text(f"{text}  broken: {{url: 'http://x'}}\n")

    async def is_told() -> bool:
        listed = await api.hosts.list()
        return any("broken" in each for each in listed.problems)

    await until(is_told, timeout_s=60)
    assert (await api.hosts.show("gpu1")).state is HostState.READY
    file.write_text("hosts: [")

    async def keeps_what_it_has() -> bool:
        listed = await api.hosts.list()
        return any("not YAML" in each for each in listed.problems) and len(listed.items) == 1

    await until(keeps_what_it_has, timeout_s=60)
    file.write_text(text.replace("gpu1:", "gpu2:"))
    await in_state_soon(api, "gpu2")
    assert [each.name for each in (await api.hosts.list()).items] == ["gpu2"]
    file.unlink()

    async def is_empty() -> bool:
        return not (await api.hosts.list()).items

    await until(is_empty, timeout_s=60)


async def in_state_soon(api: AsyncAPI, name: str) -> None:
    async def is_there() -> bool:
        return any(
            each.name == name and each.state is HostState.READY for each in (await api.hosts.list()).items
        )

    await until(is_there, timeout_s=60)


async def test_a_node_that_ends_leaves_no_process_and_no_socket(
    far_host: FarHost, node_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    async with running_node(node_config(WebUI__Enabled=False)) as node, client_of(node) as api:
        await api.hosts.add(order(far_host))
        assert {child.pid for child in psutil.Process().children(recursive=True)} - before

    def is_clean() -> bool:
        left = {child.pid for child in psutil.Process().children(recursive=True)} - before
        return not left and not found(runtime, "*.sock") and not found(runtime, "ctl")

    await until(is_clean, timeout_s=60)
