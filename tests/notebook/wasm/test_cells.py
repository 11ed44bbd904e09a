"""``%%bacalhau wasm``: from a cell to the job, and what is wrong with a cell before there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.grammar.shown import code_of, for_people, inputs_of
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.normalize import normalize_job
from bacalhau_jupyter.models.jobs.validate import validate_submission
from bacalhau_jupyter.notebook.cell import Cell
from bacalhau_jupyter.notebook.cell_grammar import cell as cell_group
from bacalhau_jupyter.notebook.cells import job_of_cell
from bacalhau_jupyter.notebook.completion import complete, typed
from bacalhau_jupyter.notebook.magics import invoke
from tests.client.wasm.samples import HELLO, module
from tests.notebook.test_cells import BOTH, packed_kit_of


def built(body: str = "", **fields: Any) -> Job:
    return job_of_cell(Cell("wasm", body, **fields), BOTH, shares_machine=True)


def test_a_module_of_this_machine_becomes_the_official_job(tmp_path: Path) -> None:
    (tmp_path / "add.wasm").write_bytes(module())
    job = built(
        "\n",
        module=str(tmp_path / "add.wasm"),
        command=("a", "b"),
        variables={"data": b"abc", "rows": [1, 2]},
    )
    validate_submission(normalize_job(job))
    assert job.task.engine.params == {
        "EntryModule": "main.wasm",
        "Entrypoint": "_start",
        "Parameters": ["a", "b"],
    }
    # Variables are files that any program can read.
    assert [item.target for item in job.task.input_sources] == [
        "/inputs/data",
        "/inputs/rows.json",
        "main.wasm",
    ]


@pytest.mark.parametrize(
    ("body", "fields", "sentence"),
    [
        ("", {}, "the cell has no body for wasm to run"),
        ("(module)", {"module": "x.wasm"}, "--module names what runs, and the cell has a body, too"),
        ("\n", {"module": "no-such.wasm"}, "there is no such file here"),
    ],
)
def test_a_cell_without_a_module_is_refused(body: str, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        built(body, **fields)


def test_a_text_is_compiled_and_shown_again_as_it_was_written() -> None:
    pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    job = built(HELLO)
    validate_submission(normalize_job(job))
    assert job.task.engine.params["EntryModule"] == "/.bacalhau/main.wasm"
    kit = packed_kit_of(job)
    assert sorted(kit) == ["cell.wat", "main.wasm"]
    plain = to_plain(job)
    assert code_of(plain) == HELLO.strip("\n")
    assert inputs_of(plain) == []
    shown = str(for_people(plain))
    assert "fd_write" in shown
    assert "main.wasm':" not in shown


def test_lines_of_a_text_are_those_of_the_cell() -> None:
    pytest.importorskip("wasmtime", reason="wasmtime comes with the wasm extra")
    with pytest.raises(BadRequest, match="line 4, column 2"):
        built("\n\n(modul)", first_line=2)


def test_the_first_line_takes_the_flags_of_wasm_run() -> None:
    words = [
        "wasm",
        "-e",
        "A=1",
        "-I",
        "a.wasm:a,b.wasm:b",
        "--entry-point",
        "go",
        "--module",
        "m",
        "--",
        "-x",
    ]
    values = invoke(cell_group, words, "%%bacalhau", None)  # type: ignore[arg-type]
    assert (values["language"], values["module"], values["entry_point"]) == ("wasm", "m", "go")
    assert values["import_modules"] == ("a.wasm:a,b.wasm:b",)
    assert values["command"] == ("-x",)
    for flag in ("--workdir", "--engine", "--pip", "--image"):
        with pytest.raises(BadRequest, match="No such option"):
            invoke(cell_group, ["wasm", flag, "x"], "%%bacalhau", None)  # type: ignore[arg-type]


def test_tab_offers_the_language_its_flags_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "main.wasm").write_bytes(module())
    assert "wasm" in [offer.text for offer in complete(cell_group, typed("wa"), None)]
    flags = {offer.text for offer in complete(cell_group, typed("wasm --"), None)}
    assert {"--module", "--entry-point", "--import-modules"} <= flags
    files = [offer.text for offer in complete(cell_group, typed("wasm --module mai"), None)]
    assert files == ["main.wasm"]
