"""``%bacalhau run-notebook`` in a real kernel."""

from __future__ import annotations

import json

import pytest

from tests.client.notebooks.test_notebooks import cell, notebook
from tests.notebook.conftest import Kernel

pytestmark = pytest.mark.timeout(200)


def test_a_notebook_runs_from_a_cell_and_a_failing_one_fails_the_cell(kernel: Kernel) -> None:
    pytest.importorskip("nbclient")
    text = json.dumps(notebook(cell("x = 1", "parameters"), cell("print('got', x); assert x < 5")))
    kernel.run(f"from pathlib import Path\nPath('a.ipynb').write_text({text!r})")
    ran = kernel.run("%bacalhau run-notebook a.ipynb -p x=4")
    assert ran.status == "ok", ran.traceback
    assert "got 4\n[cell 3/3] finished after" in ran.stdout
    assert "executed copy: a.out.ipynb" in ran.stdout
    assert "JobResult" in ran.result["text/plain"]
    failed = kernel.run("%bacalhau run-notebook a.ipynb -p x=7")
    assert failed.error["ename"] == "CellFailed"
    assert "exit code 1" in failed.traceback
    assert "executed copy: a.out-1.ipynb" in failed.stdout
    assert kernel.value("'AssertionError' in Path('a.out-1.ipynb').read_text()")


def test_a_notebook_s_job_can_write_and_imports_what_lies_beside_it(kernel: Kernel) -> None:
    pytest.importorskip("nbclient")
    source = "import nearby, os\nopen('scratch', 'w').close()\nprint(nearby.A, os.path.isdir('outputs'))"
    text = json.dumps(notebook(cell(source)))
    kernel.run(f"import os\nos.makedirs('sub', exist_ok=True)\nPath('sub/b.ipynb').write_text({text!r})")
    kernel.run("Path('sub/nearby.py').write_text('A = 41 + 1')")
    ran = kernel.run("%bacalhau run-notebook sub/b.ipynb")
    assert ran.status == "ok", ran.traceback + ran.stdout
    assert "42 True\n" in ran.stdout
