"""The magics in a real kernel against a real node."""

from __future__ import annotations

import threading

import pytest

from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import Kernel, Ran
from tests.services.common import wait_until
from tests.services.waiting import held, let_go

pytestmark = pytest.mark.timeout(300)


def test_a_python_cell_runs_elsewhere_and_brings_a_frame_back(kernel: Kernel) -> None:
    kernel.run(
        "import pandas as pd\nsales = pd.DataFrame({'region': ['n', 's', 'n'], 'revenue': [1.0, 2.0, 3.5]})"
    )
    ran = kernel.run(
        "%%bacalhau python --in sales --out top --out where\n"
        "import os\n"
        "print('rows', len(sales), {'braces': '$stay'})\n"
        "top = sales.groupby('region').revenue.sum().reset_index()\n"
        "where = os.getpid()"
    )
    assert ran.status == "ok", ran.traceback
    assert "rows 3 {'braces': '$stay'}" in ran.stdout
    assert kernel.value("top.to_dict('list')") == {"region": ["n", "s"], "revenue": [4.5, 2.0]}
    assert kernel.value("where != __import__('os').getpid()")
    assert ran.result == {}
    assert kernel.value("type(_).__name__") == "JobResult"


def test_the_output_is_a_record_with_static_forms(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh\necho hello")
    record = ran.displays[-1]
    assert record[MIME]["state"] == "Completed"
    assert record[MIME]["exit_code"] == 0
    assert record[MIME]["job_id"].startswith("j-")
    assert record[MIME]["runtime"].startswith("process (")
    assert "completed" in record["text/html"]
    assert "exit code 0" in record["text/plain"]


def test_output_arrives_while_the_job_runs(kernel: Kernel) -> None:
    def go_on(ran: Ran) -> None:
        # The card is drawn now and then: the job lasts until it was seen to run.
        if "first" in ran.stdout and any(display[MIME]["phase"] == "running" for display in ran.displays):
            let_go(kernel.repo.path)

    ran = kernel.run("%%bacalhau sh\n" + held("echo first", "echo last"), on_output=go_on)
    assert ran.stdout == "first\nlast\n"
    phases = [display[MIME]["phase"] for display in ran.displays]
    assert "running" in phases[:-1], phases


def test_a_container_runs_its_command_or_the_body(kernel: Kernel, busybox_image: str) -> None:
    ran = kernel.run(f"%%bacalhau docker {busybox_image} -- echo hi from a container")
    assert ran.stdout == "hi from a container\n", ran.traceback
    ran = kernel.run(
        f"%%bacalhau docker {busybox_image}\n#!/bin/sh -e\necho body in $(pwd)\necho made > outputs/x.txt"
    )
    assert ran.stdout == "body in /\n", ran.traceback
    assert kernel.value("_.text('x.txt')") == "made\n"


def test_variables_travel_into_a_container(kernel: Kernel, python_image: str) -> None:
    kernel.run("numbers = [1, 2, 3]")
    ran = kernel.run(
        f"%%bacalhau python --image {python_image} --in numbers --out total -e WHERE=inside\n"
        "import os\ntotal = {'sum': sum(numbers), 'where': os.environ['WHERE']}"
    )
    assert ran.status == "ok", ran.traceback
    assert kernel.value("total") == {"sum": 6, "where": "inside"}
    missing = kernel.run(f"%%bacalhau python --image {python_image}\nimport pandas")
    assert "ModuleNotFoundError: No module named 'pandas'" in missing.error["evalue"]
    assert "--image" in missing.stderr


def test_a_missing_image_names_itself_and_a_way_out(kernel: Kernel, docker_engine: str) -> None:
    ran = kernel.run("%%bacalhau docker no-such-registry.invalid/image:1 -- true")
    assert "no-such-registry.invalid/image:1" in ran.traceback
    assert "Hint:" in ran.traceback


def test_stdout_and_stderr_keep_apart_and_unterminated_lines_come(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau bash\necho out; echo err >&2; printf tail")
    assert ran.stdout.endswith("tail")
    assert "out\n" in ran.stdout
    assert ran.stderr == "err\n"


def test_a_failing_body_is_a_short_real_error(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh\necho 'the disk is on fire' >&2\nexit 3")
    assert ran.status == "error"
    assert ran.error["ename"] == "CellFailed"
    first, hint = ran.traceback.splitlines()
    record = ran.displays[-1]
    job = record[MIME]["job_id"][:10]
    assert ran.error["evalue"] == f"exit code 3: the disk is on fire (job {job})"
    assert first == f"CellFailed: exit code 3 (job {job})"
    assert hint.startswith("Hint: ")
    assert (record[MIME]["exit_code"], record[MIME]["outcome"]) == (3, "failed")
    assert "✕ exit 3" in record["text/plain"]
    assert '<b style="color:red">exit 3</b>' in record["text/html"]


def test_an_error_stands_in_a_cell_once(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python\nprint('before')\n1 / 0")
    assert ran.outputs == ["display", "stdout", "stderr", "error"]
    assert ran.stderr.count("ZeroDivisionError: division by zero") == 1
    first, hint = ran.traceback.splitlines()
    assert first.startswith("CellFailed: exit code 1 (job j-")
    assert hint.startswith("Hint: ")
    card = ran.displays[-1]
    assert "✕ exit 1 · " in card["text/plain"]
    assert "division by zero" not in str(card)
    # What nbclient and papermill report is the whole sentence all the same.
    assert ran.error["evalue"].startswith("exit code 1: ZeroDivisionError: division by zero (job j-")


def test_a_hint_stands_in_a_cell_once(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python\nimport no_such_module_at_all")
    assert (ran.stderr + ran.traceback).count("Hint: ") == 1
    assert (ran.stderr + ran.traceback).count("No module named 'no_such_module_at_all'") == 1


def test_a_cell_that_can_not_run_says_why_once(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh --memory 900tb\ntrue")
    assert ran.displays[-1][MIME]["error"] == ""
    assert ran.traceback.count("job requires more memory") == 1


def test_no_check_lets_the_notebook_go_on(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh --no-check\nexit 3")
    assert ran.status == "ok"
    assert kernel.value("_.exit_code") == 3


def test_files_come_back_and_chain_into_python(kernel: Kernel) -> None:
    ran = kernel.run(
        "%%bacalhau sh\nprintf 'a,b\\n1,2\\n' > outputs/t.csv; mkdir outputs/d; echo '{\"k\": [1]}' > outputs/d/x.json"
    )
    assert ran.status == "ok", ran.traceback
    kernel.run("result = _")
    assert kernel.value("result.ls('outputs/*')") == ["outputs/d/x.json", "outputs/t.csv"]
    assert kernel.value("result.json('d/x.json')") == {"k": [1]}
    assert kernel.value("result.df().to_dict('list')") == {"a": [1], "b": [2]}
    missing = kernel.run("result.text('nope.txt')")
    assert "hold no nope.txt" in missing.traceback


def test_detach_returns_a_job_that_can_be_awaited_and_attached(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh --detach\necho later")
    assert "submitted" in ran.result["text/plain"]
    assert MIME in ran.result
    kernel.run("job = _")
    assert kernel.run("(await job).stdout").result["text/plain"] == "'later\\n'"
    again = kernel.run("get_ipython().run_line_magic('bacalhau', f'attach {job.short_id}')")
    assert "later\n" in again.stdout


def test_an_interrupt_stops_the_job(kernel: Kernel) -> None:
    interrupted = threading.Event()

    def interrupt(ran: Ran) -> None:
        if "started" in ran.stdout and not interrupted.is_set():
            interrupted.set()
            kernel.manager.interrupt_kernel()

    ran = kernel.run("%%bacalhau sh\necho started; sleep 600", on_output=interrupt)
    assert ran.status == "error"
    assert ran.error["ename"] == "CellInterrupted"
    assert "is stopped; %bacalhau attach j-" in ran.traceback
    job = ran.displays[-1][MIME]["job_id"]
    assert kernel.value(f"__import__('bacalhau_jupyter').Client().job('{job}').state.value") == "Stopped"


def test_long_output_is_bounded_in_the_notebook(kernel: Kernel) -> None:
    noise = "noise " * 10
    ran = kernel.run(f"%%bacalhau sh\ni=0; while [ $i -lt 40000 ]; do echo '{noise}'$i; i=$((i+1)); done")
    assert ran.status == "ok", ran.traceback
    assert len(ran.stdout) < 1_000_000
    assert "of 40,000 lines left out" in ran.stdout
    assert len(ran.stdout.splitlines()) <= 202
    assert ran.displays[-1][MIME]["lines"] == 40_000
    assert ran.stdout.rstrip().endswith("noise 39999")


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("%%bacalhau sh --memroy 1gb\ntrue", "No such option"),
        ("%%bacalhau sh --memory minus\ntrue", "memory"),
        ("%%bacalhau sh --cpu -1\ntrue", "CPU"),
        ("%%bacalhau sh --in nothing_there\ntrue", "--in nothing_there"),
        ("%%bacalhau sh -i ./no/such.csv\ntrue", "no/such.csv"),
        ("%%bacalhau sh -i file:///etc/passwd:/inputs/p\ntrue", "/etc/passwd"),
        ("%%bacalhau python", "no body"),
        ("%%bacalhau job\nType: [", "not valid YAML at line"),
        ("%%bacalhau job\nType: batch\nCount: many\nTasks: []", "Count"),
        ("%%bacalhau job\nType: batch\nTasks:\n- Name: main\n  Engine: {Type: teleport}", "teleport"),
        ("%%bacalhau job\n- a list", "must be a mapping"),
        ("%%bacalhau sh --cpu 4000\ntrue", "more CPU"),
        ("%%bacalhau cobol\ntrue", "No such command 'cobol'"),
        ("%%bacalhau sh 'open quote\ntrue", "No closing quotation"),
        ("%bacalhau job describe j-nope", "job not found: j-nope"),
        ("%bacalhau job lsit", "No such command"),
        ("%bacalhau job run /no/such.yaml", "/no/such.yaml"),
    ],
)
def test_bad_input_is_one_sentence_and_a_real_error(kernel: Kernel, cell: str, sentence: str) -> None:
    before = len(kernel.value("[j.id for j in __import__('bacalhau_jupyter').Client().jobs(limit=0)]"))
    if "--cpu 4000" in cell or "teleport" in cell or "/etc/passwd" in cell:
        cell = cell.replace("sh ", "sh --queue-timeout 0 ")
    ran = kernel.run(cell)
    assert ran.status == "error"
    assert sentence.lower() in ran.traceback.lower()
    assert "Traceback" not in ran.traceback
    assert len(ran.traceback.splitlines()) <= 8
    stored = (
        len(kernel.value("[j.id for j in __import__('bacalhau_jupyter').Client().jobs(limit=0)]")) - before
    )
    assert stored == (1 if any(word in cell for word in ("4000", "teleport", "/etc/passwd")) else 0)


def test_verbs_return_rich_tables(kernel: Kernel) -> None:
    listed = kernel.run("%bacalhau job list --limit 3")
    assert "<table>" in listed.result["text/html"]
    assert kernel.value("list(_.df().columns)") == ["created", "id", "name", "job", "type", "state"]
    as_json = kernel.run("%bacalhau node list --output json")
    assert '"NodeID"' in as_json.stdout
    assert "CLIENT" in kernel.run("%bacalhau version").result["text/plain"]


def test_tab_completes_verbs_flags_and_jobs(kernel: Kernel) -> None:
    def complete(line: str) -> list[str]:
        return kernel.reply(kernel.client.complete(line, len(line)))["matches"]

    assert "describe" in complete("%bacalhau job d")
    assert "--follow" in complete("%bacalhau job logs --fo")
    # An answer that takes longer than a person waits comes with the next TAB.
    assert wait_until(
        lambda: any(match.startswith("j-") for match in complete("%bacalhau job describe j")), timeout_s=60
    )
    assert "python" in complete("%%bacalhau py")


def test_the_extension_reloads_and_unloads(kernel: Kernel) -> None:
    assert kernel.run("%reload_ext bacalhau_jupyter").status == "ok"
    assert kernel.run("%%bacalhau sh\necho again").stdout == "again\n"
