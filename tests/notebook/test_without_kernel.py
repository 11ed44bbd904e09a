"""The same magics in plain IPython and in nbclient, with no Jupyter server anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.services.node import ServedNode, start_node

PLAIN = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in (
    "%load_ext bacalhau_jupyter",
    "%%bacalhau python --out n\\nn = 6 * 7\\nprint('in the job')",
    "print('n is', n)",
    "%%bacalhau sh\\necho broken >&2; exit 4",
):
    result = shell.run_cell(cell, store_history=True)
    if result.error_in_exec is not None:
        print('raised', type(result.error_in_exec).__name__, result.error_in_exec.message)
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    started = start_node(tmp_path_factory.mktemp("plain") / "repo")
    yield started
    started.stop()


def environment(served: ServedNode) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("BACALHAU_", "JPY_"))}
    return {**env, "BACALHAU_DIR": str(served.repo.path)}


def test_plain_ipython_runs_cells_and_keeps_going_after_an_error(served: ServedNode, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN],
        env={**environment(served), "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "in the job" in done.stdout
    assert "n is 42" in done.stdout
    assert "exit code 4: broken" in done.stdout
    assert "raised CellFailed" in done.stdout
    assert "Traceback (most recent call last)" not in done.stdout + done.stderr


def test_nbclient_stops_at_a_failing_cell_and_keeps_the_record(
    served: ServedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("BACALHAU_", "JPY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BACALHAU_DIR", str(served.repo.path))
    sources = ["%load_ext bacalhau_jupyter", "%%bacalhau sh\necho fine", "%%bacalhau sh\nexit 5", "never = 1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    with pytest.raises(CellExecutionError, match="exit code 5"):
        NotebookClient(
            notebook, timeout=90, iopub_timeout=60, resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
    assert notebook.cells[3].execution_count is None
    bundles = [
        output["data"] for output in notebook.cells[1].outputs if output["output_type"] == "display_data"
    ]
    assert bundles[-1]["application/vnd.bacalhau.job+json"]["state"] == "Completed"
    nbformat.validate(notebook)


def test_without_our_renderer_one_output_is_the_card_and_long_output_stays_small(
    served: ServedNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("BACALHAU_", "JPY_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("BACALHAU_DIR", str(served.repo.path))
    noisy = "%%bacalhau sh\nseq 1 300000; printf '\\r 1/2'; sleep 1; printf '\\r 2/2\\n'"
    sources = ["%load_ext bacalhau_jupyter", noisy, "%%bacalhau sh --no-check\nexit 5"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(
        notebook, timeout=90, iopub_timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    card, *streams = notebook.cells[1].outputs
    printed = "".join(stream["text"] for stream in streams)
    assert card["data"]["text/plain"].startswith("seq 1 300000; ")
    assert " · job j-" in card["data"]["text/plain"]
    assert "300,001 lines" in card["data"]["text/plain"]
    assert '<span style="color:green">✓</span>' in card["data"]["text/html"]
    assert printed.startswith("1\n2\n")
    assert "of 300,001 lines left out" in printed
    assert '<b style="color:red">exit 5</b>' in notebook.cells[2].outputs[0]["data"]["text/html"]
    assert len(nbformat.writes(notebook)) < 1_000_000
