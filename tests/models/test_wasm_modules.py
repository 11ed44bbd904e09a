"""Modules of older clients, which write them into the engine's params."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.normalize import normalize_job

INLINE = {"Type": "inline", "Params": {"URL": "data:,x"}}


def normal(params: dict[str, Any], kind: str = "wasm", **task: Any) -> Any:
    plain = {"Type": "batch", "Tasks": [{"Name": "main", "Engine": {"Type": kind, "Params": params}, **task}]}
    job = normalize_job(convert(plain, Job))
    assert normalize_job(job) == job
    return job.tasks[0]


def test_modules_in_the_params_become_inputs_that_the_params_name() -> None:
    task = normal(
        {
            "EntryModule": {"Source": INLINE, "Target": ""},
            "ImportModules": [{"Source": INLINE}, {"Source": INLINE, "Target": "/lib.wasm"}],
            "EntryPoint": "run",
        },
        InputSources=[{"Source": INLINE, "Target": "/data"}],
    )
    targets = ["/data", "/wasm/entry.wasm", "/wasm/imports/module_0.wasm", "/lib.wasm"]
    assert [each.target for each in task.input_sources] == targets
    assert task.engine.param("EntryModule") == "/wasm/entry.wasm"
    assert task.engine.param("ImportModules") == ["/wasm/imports/module_0.wasm", "/lib.wasm"]
    assert task.engine.param("Entrypoint") == "run"


def test_names_are_matched_whatever_their_case() -> None:
    task = normal({"entrymodule": {"Source": INLINE, "Target": "/a"}})
    assert task.engine.params == {"EntryModule": "/a"}


def test_modules_that_are_inputs_already_stay_as_they_are() -> None:
    params = {"EntryModule": "main.wasm", "ImportModules": ["a", "b"], "Entrypoint": "_start"}
    assert normal(params).engine.params == params


def test_other_engines_and_broken_modules_are_left_alone() -> None:
    params = {"EntryModule": {"Source": INLINE}}
    assert normal(params, "docker").engine.params == params
    broken_ones: list[dict[str, Any]] = [{"EntryModule": {"Source": 7}}, {"EntryModule": 7}]
    for broken in [*broken_ones, {"EntryModule": {"Target": []}}]:
        task = normal(broken)
        assert (task.engine.params, task.input_sources) == (broken, [])
