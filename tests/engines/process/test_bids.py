"""Which tasks the process engine takes, and why it refuses the others."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.jobs.spec import (
    NetworkConfig,
    NetworkType,
    SpecConfig,
    replace,
)
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.process.bench import SYSTEM_PYTHON, TIERS, Bench, make_execution


def writable(execution: Execution) -> Execution:
    """Ask for the right to write to an execution's one input."""
    assert execution.job is not None
    task = execution.job.task
    source = replace(
        task.input_sources[0], source=SpecConfig(type="localDirectory", params={"readwrite": "true"})
    )
    job = replace(execution.job, tasks=[replace(task, input_sources=[source])])
    return replace(execution, job=job)


async def test_a_task_that_fits_is_accepted(bench: Bench) -> None:
    assert (await bench.engine.bid(make_execution(["true"], inputs=["/inputs/a"]))).accepted


REFUSED = {
    "Command": make_execution([]),
    "HTTP network": make_execution(["true"], network=NetworkConfig(type=NetworkType.HTTP)),
    "Bridge network": make_execution(["true"], network=NetworkConfig(type=NetworkType.BRIDGE)),
    "/no/such/python": make_execution(["true"], Python={"Executable": "/no/such/python"}),
    "/no/such/prefix": make_execution(["true"], Python={"Prefixes": ["/no/such/prefix"]}),
    "/no/such/path": make_execution(["true"], Python={"Paths": ["/no/such/path"]}),
    "its own user has registered": make_execution(["true"], Python={"Executable": SYSTEM_PYTHON}),
    "'0123456789ab'": make_execution(["true"], Python={"Environment": "0123456789ab" * 6}),
    "or its parts": make_execution(["true"], Python={"Environment": "0" * 64, "Prefixes": ["/usr"]}),
    "'../x'": make_execution(["true"], inputs=["../x"]),
    "'/inputs/../etc'": make_execution(["true"], inputs=["/inputs/../etc"]),
    "NAME=VALUE": make_execution(["true"], EnvironmentVariables=["=x"]),
    "at Python.Prefixes": make_execution(["true"], Python={"Prefixes": 7}),
    "NUL": make_execution(["a\0b"]),
    "two result paths": make_execution(["true"], outputs=[("a", "/outputs"), ("b", "/outputs/")]),
    "two inputs": make_execution(["true"], inputs=["/inputs", "/inputs/"]),
}
REFUSED_WITHOUT_MOUNTS = {
    "can't mount, so /data": make_execution(["true"], inputs=["/data"]),
    "can't mount, so /results": make_execution(["true"], outputs=[("a", "/results")]),
    "can't be writable": writable(make_execution(["true"], inputs=["/inputs/a"])),
    "inside another": make_execution(["true"], outputs=[("a", "/outputs"), ("b", "/outputs/b")]),
}
REFUSED_WITH_MOUNTS = {
    "/usr for itself": make_execution(["true"], inputs=["/usr/share/x"]),
    "/outputs for itself": make_execution(["true"], inputs=["/outputs/x"]),
    "/etc for itself": make_execution(["true"], outputs=[("a", "/etc")]),
}
MOUNTING = sorted(set(TIERS) - {"restricted"})


async def is_refused(bench: Bench, execution: Execution, reason: str) -> None:
    bid = await bench.engine.bid(execution)
    assert not bid.accepted
    assert bid.reason.startswith("this node "), bid.reason
    assert reason in bid.reason
    assert "\n" not in bid.reason


@pytest.mark.parametrize("reason", REFUSED)
async def test_every_refusal_names_its_reason(bench: Bench, reason: str) -> None:
    await is_refused(bench, REFUSED[reason], reason)


@pytest.mark.parametrize("tier", ["restricted"], indirect=True)
@pytest.mark.parametrize("reason", REFUSED_WITHOUT_MOUNTS)
async def test_a_tier_that_cannot_mount_refuses_what_needs_a_mount(bench: Bench, reason: str) -> None:
    await is_refused(bench, REFUSED_WITHOUT_MOUNTS[reason], reason)


@pytest.mark.parametrize("tier", MOUNTING, indirect=True)
@pytest.mark.parametrize("reason", REFUSED_WITH_MOUNTS)
async def test_a_tier_that_mounts_keeps_some_places_for_itself(bench: Bench, reason: str) -> None:
    await is_refused(bench, REFUSED_WITH_MOUNTS[reason], reason)


@pytest.mark.parametrize("tier", MOUNTING, indirect=True)
async def test_a_tier_that_mounts_takes_inputs_at_other_targets(bench: Bench) -> None:
    assert (await bench.engine.bid(make_execution(["true"], inputs=["/data"]))).accepted


async def test_inputs_and_outputs_appear_at_other_targets_where_the_tier_mounts(
    bench: Bench, tier: str
) -> None:
    if tier != "bubblewrap":
        pytest.skip("refused at bid time")
    data = bench.place / "data"
    data.mkdir()
    (data / "x").write_text("content")
    result = await bench.run(
        ["sh", "-c", "cp /data/x /results/y; touch /data/z"],
        inputs=[InputMount(data, "/data")],
        outputs=[("r", "/results")],
    )
    assert result.text("y") == "content"
    assert "Read-only file system" in result.stderr
    assert not (data / "z").exists()
