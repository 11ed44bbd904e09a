"""WebAssembly jobs: what clients make of modules, and what they refuse before anything is submitted."""

from __future__ import annotations

from pathlib import Path

import pytest

import bacalhau_jupyter
from bacalhau_jupyter.client.inputs.pending import PENDING, PendingInput
from bacalhau_jupyter.client.wasm.building import Program, job_of_program, wasm
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from tests.client.wasm.samples import COMPONENT, module, padded

USES_MATH = module(imports=[("math", "answer"), ("math", "round")])
MATH = module(exports=[("answer", 0), ("round", 0)])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    files = {
        "main.wasm": module(),
        "user.wasm": USES_MATH,
        "math.wasm": MATH,
        "component.wasm": COMPONENT,
        "large.wasm": padded(module(), 50_000),
        "text.wat": b"(module)",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def built(entry: str, *imports: str, inputs: tuple[str, ...] = (), entry_point: str = "_start") -> Job:
    return wasm(entry, entry_point=entry_point, import_modules=imports, inputs=inputs)


def test_a_file_of_this_machine_is_an_input_at_the_official_place() -> None:
    job = wasm("main.wasm", ["a", "b"], env={"A": "1"})
    engine, task = job.task.engine, job.task
    assert engine.type == "wasm"
    assert engine.params == {"EntryModule": "main.wasm", "Entrypoint": "_start", "Parameters": ["a", "b"]}
    assert [(item.target, item.source.type) for item in task.input_sources] == [("main.wasm", "inline")]
    assert task.env == {"A": "1"}
    assert bacalhau_jupyter.wasm is wasm


def test_a_module_may_be_a_path_or_bytes(here: Path) -> None:
    for entry in (here / "main.wasm", module()):
        (item,) = wasm(entry).task.input_sources
        assert (item.target, item.source.type) == ("main.wasm", "inline")


@pytest.mark.parametrize(
    ("text", "target", "kind", "param"),
    [
        ("main.wasm:/app/custom.wasm", "/app/custom.wasm", "inline", ""),
        ("main.wasm:app.wasm", "app.wasm", "inline", ""),
        ("https://h:8080/a/main.wasm", "main.wasm", "urlDownload", "https://h:8080/a/main.wasm"),
        ("https://h:8080/a/main.wasm:x.wasm", "x.wasm", "urlDownload", "https://h:8080/a/main.wasm"),
        ("https://h/main.wasm:/app/x.wasm", "/app/x.wasm", "urlDownload", "https://h/main.wasm"),
        ("src=https://h/main.wasm,dst=x.wasm", "x.wasm", "urlDownload", "https://h/main.wasm"),
        ("s3://b/k/main.wasm,opt=region=eu", "main.wasm", "s3", "eu"),
        ("ipfs://bafy", "main.wasm", "ipfs", "bafy"),
        ("file:///data/main.wasm", "main.wasm", "localDirectory", "/data/main.wasm"),
    ],
)
def test_where_a_module_lies_and_where_it_goes(text: str, target: str, kind: str, param: str) -> None:
    job = built(text)
    (item,) = job.task.input_sources
    assert (item.target, item.source.type) == (target, kind)
    assert job.task.engine.params["EntryModule"] == target
    assert not param or param in item.source.params.values()


def test_a_module_may_lie_in_another_input() -> None:
    job = built("/app/main.wasm", "/app/lib.wasm", inputs=("s3://b/modules/:/app",))
    assert [item.target for item in job.task.input_sources] == ["/app"]
    assert job.task.engine.params["ImportModules"] == ["/app/lib.wasm"]


def test_imported_modules_come_along_under_the_name_by_which_they_are_imported() -> None:
    job = built("user.wasm", "math.wasm:math")
    assert job.task.engine.params["ImportModules"] == ["math"]
    assert {item.target for item in job.task.input_sources} == {"main.wasm", "math"}
    # What lies elsewhere is not known, and may hold what is needed.
    built("user.wasm", "https://h/math.wasm:/math")
    built("user.wasm", inputs=("s3://b/math.wasm:/math",))


def test_a_large_module_travels_later_and_packed_where_it_travels_inside(here: Path) -> None:
    (item,) = built("large.wasm").task.input_sources
    assert isinstance(item, PendingInput)
    assert (item.source.type, item.target, item.content.name) == (PENDING, "main.wasm", "large.wasm")
    # A file on the way of uploads; inside a job an archive with that one file, as officially.
    assert not item.content.is_archive
    assert item.content.inline() == {"large.wasm": (here / "large.wasm").read_bytes()}


@pytest.mark.parametrize(
    ("words", "sentence", "hint"),
    [
        (("mian.wasm",), "the entry module mian.wasm: there is no such file here", "did you mean main.wasm?"),
        (("/a/lib",), "the entry module /a/lib: there is no such file here", "-i brings it"),
        (("text.wat",), "text.wat is the text form of WebAssembly", "%%bacalhau wasm"),
        (("component.wasm",), "component.wasm is a WebAssembly component", "wasm32-wasip1"),
        ((".",), ". is neither a file", ""),
        (
            ("user.wasm",),
            "user.wasm imports answer, round of 'math', which nothing provides",
            "-I FILE.wasm:math",
        ),
        (("user.wasm", "main.wasm:math"), "and main.wasm exports no such thing", ""),
        (("main.wasm", "math.wasm"), "math.wasm has no target", "math.wasm:lib.wasm"),
        (("main.wasm", "https://h/math.wasm"), "https://h/math.wasm has no target", ""),
        (("main.wasm", "/lib.wasm"), "-I/--import-modules /lib.wasm: there is no such file", ""),
        (("main.wasm:../x",), "../x can't be the place of a module", ""),
        (("https://h/main.wasm:/a/../x",), "can't be the place of a module", ""),
        (("gs://b/main.wasm",), "does not know", "https://storage.googleapis.com"),
    ],
)
def test_what_nodes_could_not_run_is_refused(words: tuple[str, ...], sentence: str, hint: str) -> None:
    with pytest.raises(BadRequest) as refused:
        built(*words)
    assert sentence in refused.value.message
    assert hint in refused.value.hint


def test_an_entry_point_has_to_be_there() -> None:
    with pytest.raises(BadRequest, match="can't be started: it exports no function go") as refused:
        built("main.wasm", entry_point="go")
    assert refused.value.hint == "--entry-point names another: _start"
    assert built("math.wasm", entry_point="answer").task.engine.params["Entrypoint"] == "answer"


def test_an_older_wasi_is_told_as_such(here: Path) -> None:
    (here / "old.wasm").write_bytes(module(imports=[("wasi_unstable", "fd_write")]))
    with pytest.raises(BadRequest) as refused:
        job_of_program(Program("old.wasm"))
    assert "build the program for wasm32-wasip1" in refused.value.hint


def test_a_file_with_a_colon_in_its_name_is_that_file(here: Path) -> None:
    (here / "a:b").write_bytes(module())
    (item,) = built("a:b").task.input_sources
    assert item.target == "main.wasm"
