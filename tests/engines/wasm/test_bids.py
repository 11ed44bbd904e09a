"""Which wasm tasks this node refuses before anything is fetched, and in which words."""

from __future__ import annotations

import base64

import pytest

from bacalhau_jupyter.engines.wasm import headers
from bacalhau_jupyter.engines.wasm.bids import Refused, check
from bacalhau_jupyter.engines.wasm.memory import MOST, PAGE, limit
from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.jobs.spec import InputSource, Task
from bacalhau_jupyter.models.records.execution import Execution
from tests.engines.wasm.bench import Bench


def execution(params: dict[str, object] | None = None, **task: object) -> Execution:
    """Return an execution of a task that would run, but for what is given."""
    plain = {
        "Name": "main",
        "Engine": {"Type": "wasm", "Params": {"EntryModule": "main.wasm"} if params is None else params},
        "InputSources": [{"Target": "main.wasm", "Source": {"Type": "inline", "Params": {}}}],
        **task,
    }
    return Execution(id="e-1", job=Job(tasks=[convert(plain, Task)]))


def inline(
    content: bytes, target: str = "/main.wasm", kind: str = "application/wasm", **params: object
) -> dict:
    url = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return {"Target": target, "Source": {"Type": "inline", "Params": {"URL": url, **params}}}


def reason(refused: Execution) -> str:
    with pytest.raises(Refused) as error:
        check(refused)
    return str(error.value)


@pytest.mark.parametrize(
    "params",
    [
        {"EntryModule": "main.wasm"},
        {"EntryModule": "/main.wasm", "Entrypoint": "_start", "Parameters": None, "ImportModules": []},
        {"entrymodule": "main.wasm", "EntryPoint": "run", "EnvironmentVariables": {"A": "1"}},
    ],
)
def test_both_spellings_of_older_and_newer_clients_are_read(params: dict[str, object]) -> None:
    read = check(execution(params))
    assert read.entry_module.lstrip("/") == "main.wasm"
    assert read.entry == ("run" if "EntryPoint" in params else "_start")


@pytest.mark.parametrize(
    ("params", "text"),
    [
        ({}, "got no module to run: Engine.Params.EntryModule is empty"),
        ({"EntryModule": "other.wasm"}, "finds no module at 'other.wasm': no input has this target"),
        (
            {"EntryModule": "main.wasm", "ImportModules": ["/lib.wasm"]},
            "finds no module at '/lib.wasm': no input has this target",
        ),
        ({"EntryModule": 7}, "can't read the task: "),
        ({"EntryModule": "main.wasm", "Parameters": ["a\0b"]}, "can't pass a NUL character to a module"),
    ],
)
def test_a_task_without_its_module_is_refused(params: dict[str, object], text: str) -> None:
    assert reason(execution(params)).startswith(text)


@pytest.mark.parametrize(
    ("network", "text"),
    [
        ({"Type": "Bridge"}, "offers wasm jobs no Bridge network: modules can't listen on ports"),
        ({"Type": "HTTP"}, "gives no HTTP network: at least one domain is required"),
    ],
)
def test_a_network_that_modules_can_not_have_is_refused(network: dict[str, object], text: str) -> None:
    assert reason(execution(Network=network)).startswith(text)
    for possible in ({"Type": "None"}, {"Type": "Host"}, {"Type": "HTTP", "Domains": ["a.example"]}, {}):
        check(execution(Network=possible))


def test_more_than_four_gibibytes_are_refused() -> None:
    assert reason(execution(Resources={"Memory": "5Gi"})) == (
        "can't give a module so much memory: requested memory exceeds the wasm limit - 5.00 GB > 4.00 GB"
    )
    check(execution(Resources={"Memory": "4Gi"}))


def test_memory_is_counted_in_whole_pages() -> None:
    assert [limit(size) for size in (0, 1, PAGE, PAGE + 1, MOST, MOST + 1)] == [
        *(MOST, PAGE, PAGE, 2 * PAGE),
        *(MOST, MOST),
    ]


@pytest.mark.parametrize("target", ["/", "/a/../b", "../a", "/a//b", "."])
def test_a_place_that_does_not_say_where_it_is_is_refused(target: str) -> None:
    sources = [inline(b"\0asm\1\0\0\0"), inline(b"x", target)]
    assert "needs a path below / without '..'" in reason(execution(InputSources=sources))


def test_two_things_at_one_place_are_refused() -> None:
    sources = [inline(b"\0asm\1\0\0\0"), inline(b"\0asm\1\0\0\0", "main.wasm")]
    assert "with the same place" in reason(execution(InputSources=sources))
    paths = [{"Name": "out", "Path": "/main.wasm"}]
    assert "with the same place" in reason(execution(ResultPaths=paths))


def test_a_writable_input_is_refused() -> None:
    source = inline(b"\0asm\1\0\0\0", ReadWrite=True)
    assert reason(execution(InputSources=[source])).startswith("mounts inputs of modules read-only")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\0asm\x0d\0\1\0more", "is a WebAssembly component"),
        (b"hello, world", "is not a WebAssembly module"),
        (b"  (module)    ", "is WebAssembly text"),
        (b"\0asm\1\0\0\0", ""),
    ],
)
def test_a_module_in_the_spec_is_looked_at_before_a_bid(content: bytes, text: str) -> None:
    if text:
        assert text in reason(execution(InputSources=[inline(content)]))
    else:
        check(execution(InputSources=[inline(content)]))


@pytest.mark.parametrize(
    "source",
    [
        inline(b"\x1f\x8bpacked", kind="application/gzip"),
        {"Target": "/main.wasm", "Source": {"Type": "inline", "Params": {"URL": "data:text/plain,hello"}}},
        {"Target": "/main.wasm", "Source": {"Type": "inline", "Params": {"URL": 7}}},
        {"Target": "/main.wasm", "Source": {"Type": "inline", "Params": {"URL": "data:;base64,%%%"}}},
        {"Target": "/main.wasm", "Source": {"Type": "s3", "Params": {}}},
    ],
)
def test_what_can_not_be_told_is_left_open(source: dict[str, object]) -> None:
    assert headers.visible_problem(convert(source, InputSource)) == ""


async def test_the_engine_answers_with_its_reasons(bench: Bench) -> None:
    assert (await bench.engine.bid(execution())).accepted
    bid = await bench.engine.bid(execution({}))
    assert (bid.accepted, bid.reason[:40]) == (False, "this node got no module to run: Engine.P")
    gpu = GPU(index=0, name="any", vendor="NVIDIA", memory=1)
    assert await bench.engine.gpu_problem(gpu) == "WebAssembly modules can't use a GPU"
