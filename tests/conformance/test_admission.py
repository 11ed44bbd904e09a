"""Which jobs a node of ours accepts by its configuration; `test_stock_admission` asks an official one the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from tests.conformance.admission import Case, agrees, by_configuration, call, filled, title, verdict
from tests.services.node import running_node

ENGINE = {"Type": "noop", "Params": {}}


def config_of(directory: Path, keys: dict[str, str]) -> Config:
    texts = [f"{name}={value}" for name, value in keys.items()]
    if "Engines.Disabled" not in keys:
        # Its containers are not what this is about.
        texts.append("Engines.Disabled=docker")
    flags = {
        "DataDir": str(directory),
        "API.Port": 0,
        "Orchestrator.Enabled": True,
        "Compute.Enabled": True,
    }
    return Config.from_sources(flags=flags, overrides=texts, environ={}, server=True)


@pytest.mark.parametrize("cases", by_configuration(), ids=title)
async def test_a_node_accepts_the_jobs_that_its_configuration_admits(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_X", "1")
    monkeypatch.setenv("MY_APP_X", "2")
    docs = tmp_path / "docs"
    docs.mkdir()
    words = {"docs": str(docs), "engine": "noop"}
    async with running_node(config_of(tmp_path / "repo", filled(dict(cases[0].keys), words))) as node:
        for case in cases:
            task = filled(dict(case.task), words)
            said = await asyncio.to_thread(verdict, node.url, ENGINE, task, node.key)
            assert agrees(said, filled(case.ours, words)), (case.name, said)


async def test_a_variable_that_is_listed_but_not_set_fails_the_job_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("APP_Y", raising=False)
    async with running_node(config_of(tmp_path, {"Compute.Env.AllowList": "APP_*"})) as node:
        task = {"Env": {"Y": "env:APP_Y"}, "Publisher": {"Type": ""}}
        said = await asyncio.to_thread(failure, node.url, task, node.key)
        assert "required environment variable 'APP_Y' not found" in said


async def test_a_job_without_a_publisher_gets_the_default_one_of_its_type(tmp_path: Path) -> None:
    keys = {
        "JobDefaults.Batch.Task.Publisher.Type": "local",
        "JobDefaults.Batch.Task.Resources.CPU": "200m",
        "JobDefaults.Batch.Priority": "7",
    }
    async with running_node(config_of(tmp_path, keys)) as node:
        job = await asyncio.to_thread(stored, node.url, node.key)
        assert job["Priority"] == 7
        assert job["Tasks"][0]["Publisher"]["Type"] == "local"
        assert job["Tasks"][0]["Resources"]["CPU"] == "200m"


@pytest.mark.parametrize("name", ["CPU", "Memory", "Disk", "GPU"])
async def test_more_than_all_of_a_resource_is_refused_at_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        async with running_node(config_of(tmp_path, {f"Compute.AllocatedCapacity.{name}": "101%"})):
            pass
    assert refused.value.message == f"Compute.AllocatedCapacity.{name} must be between 0% and 100%, not 101%"


def submit(url: str, task: dict[str, Any], key: str) -> str:
    jobs = f"{url}/api/v1/orchestrator/jobs"
    spec = {"Type": "batch", "Count": 1, "Tasks": [{"Name": "main", "Engine": ENGINE, **task}]}
    return f"{jobs}/{call(jobs, {'Job': spec}, key)['JobID']}"


def stored(url: str, key: str) -> dict[str, Any]:
    job: dict[str, Any] = call(submit(url, {}, key), key=key)["Job"]
    return job


def failure(url: str, task: dict[str, Any], key: str) -> str:
    from tests.services.common import wait_until

    job = submit(url, task, key)
    assert wait_until(lambda: call(job, key=key)["Job"]["State"]["StateType"] == "Failed", timeout_s=60)
    ran = call(f"{job}/executions", key=key)["Items"]
    return "\n".join(item["ComputeState"]["Message"] for item in ran)
