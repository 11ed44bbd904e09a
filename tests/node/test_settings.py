"""Keys that a node honours, seen from outside a running node."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.node import Node
from bacalhau_jupyter.plugins.logfile import STDOUT, read_frames
from tests.node.test_node import JOBS, MakeConfig, client, noop, run
from tests.services.node import running_node
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import found, until

BATCH = "JobDefaults.Batch"


async def submitted(session: aiohttp.ClientSession, body: dict[str, Any]) -> dict[str, Any]:
    """Submit a job; return it as it is stored."""
    async with session.put(JOBS, json=body) as answer:
        assert answer.status == 200, await answer.text()
        job_id = (await answer.json())["JobID"]
    async with session.get(f"{JOBS}/{job_id}") as answer:
        job: dict[str, Any] = (await answer.json())["Job"]
    return job


async def refusal(session: aiohttp.ClientSession, body: dict[str, Any]) -> str:
    """Submit a job that no node takes; return the reason."""
    job_id = (await submitted(session, body))["ID"]
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"{JOBS}/{job_id}") as answer:
                state = (await answer.json())["Job"]["State"]
            if state["StateType"] == "Failed":
                return str(state["Message"])
            await asyncio.sleep(0.02)


async def described(node: Node) -> dict[str, Any]:
    async with client(node) as session, session.get("/api/v1/agent/node") as answer:
        info: dict[str, Any] = await answer.json()
    return info


async def test_a_job_that_names_nothing_gets_the_nodes_defaults(node_config: MakeConfig) -> None:
    config = node_config().replace(
        {
            f"{BATCH}.Priority": 7,
            f"{BATCH}.Task.Resources.CPU": "100m",
            f"{BATCH}.Task.Resources.Memory": "64Mb",
            f"{BATCH}.Task.Resources.Disk": "10Mb",
            f"{BATCH}.Task.Resources.GPU": "0",
            f"{BATCH}.Task.Publisher.Type": "local",
            f"{BATCH}.Task.Publisher.Params": {"Note": "kept"},
            f"{BATCH}.Task.Timeouts.TotalTimeout": "2h",
            f"{BATCH}.Task.Timeouts.ExecutionTimeout": "1h",
            f"{BATCH}.Task.Timeouts.QueueTimeout": "30m",
        }
    )
    async with running_node(config) as node, client(node) as session:
        job = await submitted(session, noop())
    task = job["Tasks"][0]
    assert job["Priority"] == 7
    assert task["Resources"] == {"CPU": "100m", "Memory": "64mb", "Disk": "10mb", "GPU": "0"}
    assert task["Publisher"] == {"Type": "local", "Params": {"Note": "kept"}}
    assert task["Timeouts"] == {"TotalTimeout": 7200, "ExecutionTimeout": 3600, "QueueTimeout": 1800}


DEFAULTS = {
    "ops": {
        "JobDefaults.Ops.Priority": 7,
        "JobDefaults.Ops.Task.Resources.CPU": "100m",
        "JobDefaults.Ops.Task.Resources.Memory": "64Mb",
        "JobDefaults.Ops.Task.Resources.Disk": "10Mb",
        "JobDefaults.Ops.Task.Resources.GPU": "0",
        "JobDefaults.Ops.Task.Publisher.Type": "local",
        "JobDefaults.Ops.Task.Publisher.Params": {"Note": "kept"},
        "JobDefaults.Ops.Task.Timeouts.TotalTimeout": "2h",
        "JobDefaults.Ops.Task.Timeouts.ExecutionTimeout": "1h",
        "JobDefaults.Ops.Task.Timeouts.QueueTimeout": "30m",
    },
    "daemon": {
        "JobDefaults.Daemon.Priority": 7,
        "JobDefaults.Daemon.Task.Resources.CPU": "100m",
        "JobDefaults.Daemon.Task.Resources.Memory": "64Mb",
        "JobDefaults.Daemon.Task.Resources.Disk": "10Mb",
        "JobDefaults.Daemon.Task.Resources.GPU": "0",
    },
    "service": {
        "JobDefaults.Service.Priority": 7,
        "JobDefaults.Service.Task.Resources.CPU": "100m",
        "JobDefaults.Service.Task.Resources.Memory": "64Mb",
        "JobDefaults.Service.Task.Resources.Disk": "10Mb",
        "JobDefaults.Service.Task.Resources.GPU": "0",
        "JobDefaults.Service.Task.Timeouts.QueueTimeout": "30m",
    },
}
LIMITS = {
    "ops": {"TotalTimeout": 7200, "ExecutionTimeout": 3600, "QueueTimeout": 1800},
    "daemon": {},
    "service": {"QueueTimeout": 1800},
}


@pytest.mark.parametrize("kind", DEFAULTS)
async def test_jobs_of_each_type_have_defaults_of_their_own(node_config: MakeConfig, kind: str) -> None:
    async with running_node(node_config().replace(DEFAULTS[kind])) as node, client(node) as session:
        body = noop()
        body["Job"]["Type"] = kind
        del body["Job"]["Count"]
        job = await submitted(session, body)
    stored = job["Tasks"][0]
    assert job["Priority"] == 7
    assert stored["Resources"] == {"CPU": "100m", "Memory": "64mb", "Disk": "10mb", "GPU": "0"}
    assert stored["Publisher"]["Type"] == ("local" if kind == "ops" else "")
    assert stored["Timeouts"] == LIMITS[kind]


@pytest.mark.parametrize(("total_s", "queue_s"), [(None, 600), (60, 60)])
async def test_a_job_waits_ten_minutes_for_room_or_as_long_as_it_may_take_in_all(
    node_config: MakeConfig, total_s: int | None, queue_s: int
) -> None:
    limits: dict[str, int] = {} if total_s is None else {"TotalTimeout": total_s}
    async with running_node(node_config()) as node, client(node) as session:
        job = await submitted(session, noop(Timeouts=limits))
    assert job["Tasks"][0]["Timeouts"] == {**limits, "QueueTimeout": queue_s}


async def test_capacity_is_what_was_allocated(node_config: MakeConfig) -> None:
    config = node_config().replace(
        {
            "Compute.AllocatedCapacity.CPU": "500m",
            "Compute.AllocatedCapacity.Memory": "100Mb",
            "Compute.AllocatedCapacity.Disk": "1Gb",
            "Compute.AllocatedCapacity.GPU": "0",
        }
    )
    async with running_node(config) as node:
        capacity = (await described(node))["ComputeNodeInfo"]["MaxCapacity"]
    assert (capacity["CPU"], capacity["Memory"], capacity["Disk"]) == (0.5, 100_000_000, 1_000_000_000)
    assert not capacity.get("GPU")


@pytest.mark.parametrize(
    ("key", "value", "listed"),
    [
        ("InputSources.Disabled", ["urlDownload"], "StorageSources"),
        ("Publishers.Disabled", ["local"], "Publishers"),
        ("Engines.Disabled", ["noop", "docker"], "ExecutionEngines"),
    ],
)
async def test_a_disabled_type_is_off(
    node_config: MakeConfig, key: str, value: list[str], listed: str
) -> None:
    async with running_node(node_config().replace({key: value})) as node:
        names = [name.lower() for name in (await described(node))["ComputeNodeInfo"][listed]]
    assert value[0].lower() not in names


async def test_the_process_engine_can_be_switched_off(node_config: MakeConfig) -> None:
    async with running_node(node_config(Engines__Process__Enabled=False)) as node:
        info = (await described(node))["ComputeNodeInfo"]
    assert "process" not in info["ExecutionEngines"]


@pytest.mark.parametrize(
    ("key", "body", "reason"),
    [
        ("JobAdmissionControl.RejectStatelessJobs", noop(), "without any input volumes"),
        ("JobAdmissionControl.RejectNetworkedJobs", noop(Network={"Type": "Host"}), "network"),
    ],
)
async def test_jobs_that_the_owner_does_not_want_are_refused(
    node_config: MakeConfig, key: str, body: dict[str, Any], reason: str
) -> None:
    async with running_node(node_config().replace({key: True})) as node, client(node) as session:
        assert reason in await refusal(session, body)


async def test_a_url_of_the_owner_decides_about_jobs(node_config: MakeConfig) -> None:
    asked = []

    async def refuse(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.Response(status=403, text="not on a Sunday")

    app = web.Application()
    app.router.add_post("/probe", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        config = node_config(JobAdmissionControl__ProbeHTTP=f"http://127.0.0.1:{port}/probe")
        async with running_node(config) as node, client(node) as session:
            await refusal(session, noop())
    finally:
        await runner.cleanup()
    assert asked


async def test_a_node_approves_its_own_compute_half_also_where_others_wait_for_approval(
    node_config: MakeConfig,
) -> None:
    config = node_config(Orchestrator__NodeManager__ManualApproval=True)
    async with (
        running_node(config) as node,
        client(node) as session,
        session.get("/api/v1/orchestrator/nodes") as answer,
    ):
        (state,) = (await answer.json())["Nodes"]
    assert state["Membership"] == "APPROVED"


async def test_a_further_host_name_opens_the_api_to_the_local_user(node_config: MakeConfig) -> None:
    async def status(node: Node) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{node.url}{JOBS}", headers={"Host": "lab.example"}) as answer,
        ):
            return answer.status

    async with running_node(node_config()) as node:
        assert await status(node) == 401
    async with running_node(node_config(API__Names=["lab.example"])) as node:
        assert await status(node) == 200


async def test_an_ephemeral_node_writes_no_database(node_config: MakeConfig) -> None:
    async with running_node(node_config(Node__Ephemeral=True)) as node:
        assert not found(node.repo.path, "state.sqlite")
    async with running_node(node_config()) as node:
        assert found(node.repo.path, "state.sqlite")


async def test_databases_lie_where_the_owner_says(node_config: MakeConfig, tmp_path: Path) -> None:
    async with running_node(node_config(Node__StateDir=str(tmp_path / "state"))) as node:
        assert len(found(tmp_path / "state", "state.sqlite")) == 2
        assert not found(node.repo.path, "state.sqlite")


async def test_no_job_sees_where_the_owner_keeps_the_databases(
    node_config: MakeConfig, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    config = node_config(
        Node__StateDir=str(tmp_path / "state"), Compute__AllowListedLocalPaths=[f"{tmp_path}/**:rw"]
    )
    async with running_node(config) as node, client(node) as session:
        for place in ("state", "state/compute", ""):
            assert "the node's own files are there" in await refusal(session, _mounting(tmp_path / place))
        await run(session, _mounting(tmp_path / "data"))


@pytest.mark.parametrize("name", [".local/share/jupyter/runtime", "elsewhere"])
async def test_no_job_sees_the_tokens_of_jupyter_servers(
    node_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "elsewhere"))
    (tmp_path / name).mkdir(parents=True)
    config = node_config(Compute__AllowListedLocalPaths=[f"{tmp_path}/**"])
    async with running_node(config) as node, client(node) as session:
        assert "the node's own files are there" in await refusal(session, _mounting(tmp_path / name))


def _mounting(path: Path) -> dict[str, Any]:
    source = {"Type": "localDirectory", "Params": {"SourcePath": str(path)}}
    return noop(InputSources=[{"Source": source, "Target": "/inputs"}])


async def test_the_input_cache_has_the_size_that_was_set(node_config: MakeConfig) -> None:
    config = node_config(Compute__InputCache__Size="5Mb", Compute__InputCache__MinFree="1Mb")
    async with running_node(config) as node:
        assert (await described(node))["ComputeNodeInfo"]["InputCache"]["Limit"] == 5_000_000
    assert settings.compute_settings(config, Repo(config.data_dir), "n").input_cache_min_free == 1_000_000


async def test_the_node_keeps_as_much_room_for_a_full_disk_as_the_owner_says(node_config: MakeConfig) -> None:
    config = node_config(Node__DiskReserve="3Mb")
    async with running_node(config) as node:
        (reserve,) = found(node.repo.path, "reserve")
        assert reserve.stat().st_size == 3_000_000
        assert settings.compute_settings(config, node.repo, "n").disk_reserve == 3_000_000


def test_a_json_log_has_one_object_per_line(node_factory: NodeFactory) -> None:
    node = node_factory("-c", "Logging.Mode=json")
    node.stop()
    lines = node.output.read_text(encoding="utf-8").splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    assert any("listens on" in line["message"] for line in logged)


LOUD = ["sh", "-c", "i=0; while [ $i -lt 1000 ]; do echo 0123456789; i=$((i+1)); done; echo end"]


@pytest.mark.parametrize("kind", ["process", pytest.param("docker", marks=pytest.mark.docker)])
async def test_a_log_keeps_as_much_as_the_owner_says(
    node_config: MakeConfig, kind: str, request: pytest.FixtureRequest
) -> None:
    engines = {"process": {"Command": LOUD}, "docker": {"Parameters": LOUD}}
    if kind == "docker":
        engines["docker"]["Image"] = request.getfixturevalue("busybox_image")
    config = node_config(Compute__LogLimit="1Kb").replace({"Engines.Disabled": []})
    async with running_node(config) as node, client(node) as session:

        async def is_offered() -> bool:
            async with session.get(f"/api/v1/orchestrator/nodes/{node.node_id}") as answer:
                info = (await answer.json())["Node"]["Info"]["ComputeNodeInfo"]
            return kind in (info["ExecutionEngines"] or ())

        # A node refuses jobs that come before its engine has answered, and does not wait long for that.
        await until(is_offered)
        await run(session, noop(Engine={"Type": kind, "Params": engines[kind]}))
        (log,) = (settings.compute_dir(config, node.repo) / "logs").glob("*.log")
        kept = b"".join(frame.data for frame in read_frames(log) if frame.stream == STDOUT)
    assert len(kept) == 1000


def test_the_orchestrator_gets_its_settings(node_config: MakeConfig) -> None:
    config = node_config().replace(
        {
            "Orchestrator.Scheduler.HousekeepingTimeout": "7s",
            "Orchestrator.Scheduler.WorkerCount": 3,
            "Orchestrator.NodeManager.DisconnectTimeout": "9s",
        }
    )
    made = settings.orchestrator_settings(config, Repo(config.data_dir).create(), "n")
    assert (made.execution_grace_s, made.workers, made.disconnect_timeout_s) == (7.0, 3, 9.0)


def test_the_compute_role_gets_its_settings(node_config: MakeConfig) -> None:
    config = node_config().replace(
        {"Compute.Heartbeat.InfoUpdateInterval": "7s", "Compute.Heartbeat.Interval": "3s"}
    )
    made = settings.compute_settings(config, Repo(config.data_dir), "n")
    assert (made.info_interval_s, made.heartbeat_interval_s) == (7.0, 3.0)


def test_a_managed_bucket_is_described_by_its_keys(node_config: MakeConfig) -> None:
    managed = "Publishers.Types.S3Managed"
    config = node_config().replace(
        {
            f"{managed}.Bucket": "results",
            f"{managed}.Key": "team/",
            f"{managed}.Region": "eu-central-1",
            f"{managed}.Endpoint": "https://s3.example",
            f"{managed}.PreSignedURLExpiration": "10m",
        }
    )
    bucket = settings.managed_bucket(config, SystemClock())
    assert bucket is not None
    assert bucket.key("j", "e") == "team/j/e.tar.gz"
    with pytest.raises(ConfigurationError):
        settings.managed_bucket(config.replace({f"{managed}.Bucket": ""}), None)


def test_no_worker_at_all_is_refused(node_config: MakeConfig) -> None:
    config = node_config(Orchestrator__Scheduler__WorkerCount=0)
    with pytest.raises(ConfigurationError, match="WorkerCount must be 1 or more"):
        settings.check(config)


def test_links_are_not_signed_where_signing_is_disabled(node_config: MakeConfig) -> None:
    config = node_config().replace({"Publishers.Types.S3.PreSignedURLExpiration": "5m"})
    assert settings.s3_presigner(config, SystemClock()) is not None
    disabled = Config({"Publishers.Types.S3.PreSignedURLDisabled": True})
    assert settings.s3_presigner(disabled, SystemClock()) is None


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "127.0.0.1"), ("0.0.0.0", "")]
)
def test_ports_of_jobs_are_for_this_machine_where_the_api_is(
    node_config: MakeConfig, host: str, address: str
) -> None:
    config = node_config().replace({"API.Host": host})
    assert settings.compute_settings(config, Repo(config.data_dir), "n").port_address == address


def test_a_node_describes_itself_with_the_address_that_it_is_told_to_announce(tmp_path: Path) -> None:
    config = Config({"Compute.Network.AdvertisedAddress": "gpu-box.example"})
    assert settings.compute_settings(config, Repo(tmp_path), "n").address == "gpu-box.example"
