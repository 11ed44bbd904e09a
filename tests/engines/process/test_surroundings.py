"""What a process job finds: its working directory, inputs, outputs and variables."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.process.bench import Bench, own_python
from tests.services.common import is_root


async def test_a_body_starts_between_inputs_and_outputs(bench: Bench, tier: str) -> None:
    table = bench.place / "table"
    (table / "deep").mkdir(parents=True)
    (table / "a.csv").write_text("1")
    (table / "deep" / "b.csv").write_text("2")
    single = bench.place / "single.txt"
    single.write_text("3")
    code = """
    import glob, json, os
    print(json.dumps({
        "here": sorted(os.listdir(".")),
        "files": sorted(glob.glob("inputs/**/*", recursive=True)),
        "texts": [open("inputs/table/a.csv").read(), open("inputs/table/deep/b.csv").read(),
                  open("inputs/single.txt").read()],
        "same": sorted(os.listdir(os.environ["BACALHAU_INPUTS"])) == sorted(os.listdir("inputs")),
        "mounted": os.path.exists("/inputs/single.txt"),
        "home": os.path.samefile(os.environ["HOME"], os.environ["TMPDIR"]),
        "id": os.environ["BACALHAU_EXECUTION_ID"],
    }))
    open(os.environ["BACALHAU_OUTPUTS"] + "/by-variable", "w").write("v")
    open("outputs/relative", "w").write("r")
    open(os.path.expanduser("~/scratch"), "w").write("s")
    """
    inputs = [InputMount(table, "/inputs/table"), InputMount(single, "/inputs/single.txt")]
    result = await bench.python(textwrap.dedent(code), inputs=inputs)
    assert result.outcome.exit_code == 0, result.stderr
    seen = json.loads(result.stdout)
    assert seen["here"] == ["inputs", "outputs"]
    assert [name for name in seen["files"] if name.endswith((".csv", ".txt"))] == [
        "inputs/single.txt",
        "inputs/table/a.csv",
        "inputs/table/deep/b.csv",
    ]
    assert seen["texts"] == ["1", "2", "3"]
    assert seen["same"] and seen["home"]
    assert seen["mounted"] is (tier == "bubblewrap")
    assert seen["id"] == result.request.execution.id
    assert (result.text("by-variable"), result.text("relative")) == ("v", "r")
    for name in ("by-variable", "relative"):
        assert (result.outputs / name).stat().st_uid == os.geteuid()


async def test_an_input_directory_can_be_all_of_inputs_and_hold_another_one(bench: Bench, tier: str) -> None:
    base = bench.place / "base"
    (base / "sub").mkdir(parents=True)
    (base / "a").write_text("a")
    (base / "sub" / "b").write_text("b")
    extra = bench.place / "extra"
    extra.write_text("extra")
    inputs = [InputMount(base, "/inputs"), InputMount(extra, "/inputs/sub/extra")]
    result = await bench.run(["sh", "-c", "cat inputs/a inputs/sub/b inputs/sub/extra"], inputs=inputs)
    assert result.stdout == "abextra", result
    assert sorted(path.name for path in base.rglob("*")) == ["a", "b", "sub"]


async def test_a_private_input_reaches_the_job_and_keeps_its_modes(bench: Bench) -> None:
    private = bench.repo / "fetched"
    private.mkdir(mode=0o700)
    (private / "data").write_text("private")
    (private / "data").chmod(0o600)
    result = await bench.run(["cat", "inputs/data"], inputs=[InputMount(private, "/inputs")])
    assert result.stdout == "private", result
    assert (private / "data").stat().st_mode & 0o777 == 0o600
    assert private.stat().st_mode & 0o777 == 0o700


async def test_several_outputs_land_each_in_its_own_directory(bench: Bench) -> None:
    outputs = [("one", "/outputs/one"), ("two", "/outputs/two")]
    result = await bench.run(["sh", "-c", "echo 1 > outputs/one/x; echo 2 > outputs/two/x"], outputs=outputs)
    assert result.outcome.exit_code == 0, result
    assert [(each.path / "x").read_text() for each in result.request.outputs] == ["1\n", "2\n"]


async def test_results_are_the_node_s_own_whatever_the_job_did_to_them(bench: Bench) -> None:
    command = (
        "mkdir outputs/closed && echo x > outputs/closed/x && chmod 000 outputs/closed/x outputs/closed;"
        "echo '#!/bin/sh' > outputs/setuid && chmod 4755 outputs/setuid; mkfifo outputs/fifo;"
        "ln -s /etc/shadow outputs/l"
    )
    result = await bench.run(["sh", "-c", command])
    assert result.text("closed/x") == "x\n"
    assert (result.outputs / "setuid").stat().st_mode & 0o7000 == 0
    assert not (result.outputs / "fifo").exists()
    assert (result.outputs / "l").is_symlink()


async def test_variables_come_from_the_spec_and_the_allow_list(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    monkeypatch.setenv("LD_PRELOAD_NOT", "x")
    result = await bench.run(
        ["env"],
        env={"FROM_TASK": "task", "BOTH": "task"},
        EnvironmentVariables=["FROM_ENGINE=engine=1", "BOTH=engine"],
        resources=Resources(cpu=2),
    )
    variables = dict(line.split("=", 1) for line in result.stdout.splitlines())
    assert variables["FROM_TASK"] == "task"
    assert variables["FROM_ENGINE"] == "engine=1"
    assert variables["BOTH"] == "task"
    assert variables["TZ"] == "Europe/Vienna"
    assert variables["OMP_NUM_THREADS"] == "2"
    assert "LD_PRELOAD_NOT" not in variables


async def test_a_variable_of_the_loader_steers_the_job_only(bench: Bench) -> None:
    """``LD_PRELOAD`` must not load code into what sets the sandbox up, outside of it and perhaps as root."""
    result = await bench.run(
        ["env"], EnvironmentVariables=["LD_PRELOAD=/inputs/nowhere.so", "LD_DEBUG=files"]
    )
    assert "LD_PRELOAD=/inputs/nowhere.so" in result.stdout
    initialised = [line for line in result.stderr.splitlines() if "initialize program" in line]
    assert initialised
    assert all("bwrap" not in line and "setpriv" not in line for line in initialised)


async def test_the_notebook_s_own_python_runs_with_its_packages(bench: Bench) -> None:
    python = await bench.register(**own_python())
    request = bench.request([sys.executable, "-c", "import msgspec, sys; print(sys.prefix)"], Python=python)
    bid = await bench.engine.bid(request.execution)
    if not bid.accepted:
        assert is_root() and "runs as root" in bid.reason
        pytest.skip(bid.reason)
    if "/site-packages/" not in str(Path(pytest.__file__)) or not Path(pytest.__file__).is_relative_to(
        sys.prefix
    ):
        pytest.skip("the tests' packages are not in their interpreter's prefix")
    await bench.engine.start(request)
    result = await bench.finish(request)
    assert result.stdout.strip() == sys.prefix, result


async def test_a_program_that_is_not_there_is_said_so_and_leaves_nothing(bench: Bench) -> None:
    for command in (["no-such-program"], ["/opt/no-such-place/program"]):
        request = bench.request(command)
        with pytest.raises(EngineError, match=command[0]) as failed:
            await bench.engine.start(request)
        assert failed.value.fails_execution
        assert await bench.engine.existing() == []


async def test_a_working_directory_that_is_not_there_is_said_so(bench: Bench) -> None:
    result = await bench.run(["true"], WorkingDirectory="nowhere")
    assert result.outcome.reason is EndReason.ERROR
    assert result.outcome.error is not None
    assert "nowhere" in result.outcome.error.message + result.stderr
