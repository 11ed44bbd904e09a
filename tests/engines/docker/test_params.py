"""What a container is asked to be, for what a task says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker.params import container_config, container_name, docker_params, task_of
from bacalhau_jupyter.models.errors import BadRequest, EngineError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.engine import RunRequest
from tests.engines.docker.conftest import execution_of


def config_of(
    params: dict[str, Any],
    resources: Resources | None = None,
    network: NetworkConfig | None = None,
    default: NetworkType = NetworkType.BRIDGE,
) -> dict[str, Any]:
    execution = execution_of(params, network)
    request = RunRequest(
        execution,
        node_id="n-1",
        env={},
        resources=resources or Resources(),
        inputs=[],
        outputs=[],
        directory=Path("/d"),
        log_path=Path("/d/log"),
    )
    return container_config(request, docker_params(task_of(execution)), default_network=default)


@pytest.mark.parametrize(
    "image",
    [
        "busybox",
        "busybox:1.36",
        "library/busybox",
        "ghcr.io/owner/name-with.dots_and__more:v1.2-rc.1",
        "localhost:5000/a",
        "[::1]:5000/a/b/c:tag",
        "Registry.Example.COM/a",
        f"a@sha256:{'0' * 64}",
        f"host:1/a:tag@sha256:{'f' * 64}",
        f"sha256:{'a' * 64}",
    ],
)
def test_every_form_of_an_image_name_is_understood(image: str) -> None:
    assert config_of({"Image": image})["Image"] == image


@pytest.mark.parametrize("image", ["a" * 1024 + "!", "a-" * 500, "a." * 500 + "/", "A" + "a-" * 500])
def test_a_hostile_image_name_costs_no_time(image: str) -> None:
    begun = time.process_time()
    with pytest.raises(EngineError):
        config_of({"Image": image})
    assert time.process_time() - begun < 1


def test_names_of_members_are_matched_like_go_does_and_null_means_not_given() -> None:
    params = {"image": "a", "ENTRYPOINT": None, "Parameters": None, "environmentVariables": ["A=1"]}
    config = config_of({**params, "WorkingDirectory": None})
    assert config["Env"] == ["A=1"]
    assert not {"Entrypoint", "Cmd", "WorkingDir"} & set(config)


def test_a_member_of_a_wrong_type_is_named() -> None:
    with pytest.raises(BadRequest, match="Entrypoint"):
        config_of({"Image": "a", "Entrypoint": "sh -c"})


def test_a_node_without_networked_jobs_runs_silent_ones_without_a_network() -> None:
    host = config_of({"Image": "a"}, network=NetworkConfig(), default=NetworkType.NONE)["HostConfig"]
    assert host["NetworkMode"] == "none"
    assert "ExtraHosts" not in host


@pytest.mark.parametrize("kind", [NetworkType.HOST, NetworkType.BRIDGE])
def test_the_host_has_a_name_for_tasks_that_ask_for_a_network(kind: NetworkType) -> None:
    host = config_of({"Image": "a"}, network=NetworkConfig(type=kind))["HostConfig"]
    assert host["ExtraHosts"] == ["host.docker.internal:host-gateway"]


def test_a_node_name_that_no_container_may_have_is_made_fit() -> None:
    execution = Execution(id="e-1", job_id="j-1")
    assert container_name("my node/1", execution) == "bacalhau-my-node-1-j-1-e-1-executor"


def test_an_execution_without_its_job_is_refused() -> None:
    with pytest.raises(EngineError, match="e-1 has no task"):
        task_of(Execution(id="e-1"))


@pytest.mark.parametrize("cpu", [0.01, 0.05, 0.1, 0.25, 0.3, 0.49])
def test_a_small_share_of_a_cpu_is_counted_over_a_longer_time(cpu: float) -> None:
    host = config_of({"Image": "a"}, Resources(cpu=cpu))["HostConfig"]
    assert host["CpuQuota"] / host["CpuPeriod"] == pytest.approx(cpu, rel=0.001)
    assert host["CpuQuota"] >= min(50_000, 1_000_000 * cpu)
    assert 100_000 < host["CpuPeriod"] <= 1_000_000
    assert "NanoCpus" not in host


@pytest.mark.parametrize("cpu", [0.5, 1, 3.5])
def test_other_shares_are_counted_as_the_engine_does(cpu: float) -> None:
    host = config_of({"Image": "a"}, Resources(cpu=cpu))["HostConfig"]
    assert host["NanoCpus"] == cpu * 1_000_000_000
    assert "CpuQuota" not in host
