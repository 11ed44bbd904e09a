"""The card of a cell in a real kernel: first, at once, in place, and what it says when things go wrong."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.config.election import read_record
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.config.submissions import Submissions
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import PATIENT, Kernel, Ran
from tests.services.common import wait_until
from tests.services.waiting import let_go

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel that the test may restart, with no node yet."""
    (tmp_path / "notebook").mkdir()
    made = Kernel(Repo.open(tmp_path / "repo"), tmp_path / "notebook")
    try:
        made.run("%load_ext bacalhau_jupyter")
        yield made
    finally:
        made.close()


def phases(ran: Ran) -> list[str]:
    return [display[MIME]["phase"] for display in ran.displays if MIME in display]


def job_of(ran: Ran) -> str:
    return str(next(display[MIME]["job_id"] for display in ran.displays if display[MIME]["job_id"]))


def test_the_card_is_the_first_output_and_all_else_is_one_stream_below_it(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh\nfor i in 1 2 3 4; do echo $i; sleep 0.5; done")
    assert ran.outputs == ["display", "stdout"]
    assert len(ran.display_ids) == 1
    assert ran.displays[0][MIME]["job_id"] == ""
    assert ran.displays[-1][MIME]["state"] == "Completed"
    assert all(set(bundle) == {MIME, "text/html", "text/plain"} for bundle in ran.displays)


def test_a_progress_bar_is_never_cut_in_two(kernel: Kernel) -> None:
    body = (
        "import os, sys, time\nopen('outputs/held', 'w').close()\nfor i in range(31):\n"
        "    print(f'\\r{i:3d}/30 ' + '#' * i, end='', file=sys.stderr, flush=True); time.sleep(0.05)\n"
        "    while i == 10 and not os.path.exists('outputs/go'): time.sleep(0.1)\n"
        "for name in ('held', 'go'): os.remove(f'outputs/{name}')\n"
    )

    def go_on(ran: Ran) -> None:
        if " 10/30" in ran.stderr:
            let_go(kernel.repo.path)

    ran = kernel.run(f"%%bacalhau python\n{body}", on_output=go_on)
    assert ran.outputs == ["display", "stderr"]
    assert ran.stderr.endswith("\r 30/30 " + "#" * 30)
    assert "\r 10/30 ##########" in ran.stderr


def test_the_first_cell_says_that_the_node_starts(own: Kernel) -> None:
    ran = own.run("%%bacalhau sh\necho up")
    assert ran.status == "ok", ran.traceback
    assert phases(ran)[:2] == ["submitting", "starting the node"]
    assert ran.outputs == ["display", "stdout"]
    assert len(ran.display_ids) == 1


def test_a_kernel_that_finds_a_running_node_starts_it_again_when_it_dies(own: Kernel) -> None:
    own.run("%%bacalhau sh\ntrue")
    own.manager.restart_kernel(now=True)
    own.client.wait_for_ready(timeout=60)
    own.run("%load_ext bacalhau_jupyter")
    killed = threading.Event()

    def kill(ran: Ran) -> None:
        record = read_record(own.repo)
        if "started" in ran.stdout and not killed.is_set() and record is not None:
            killed.set()
            os.kill(record.pid, signal.SIGKILL)

    ran = own.run("%%bacalhau sh\necho started; sleep 3; echo ended", on_output=kill)
    assert killed.is_set()
    assert ran.stdout == "started\nended\n", ran.traceback


@pytest.mark.parametrize("line", ["sh --memroy 1gb", "cobol", "sh 'open quote"])
def test_the_first_cell_of_a_kernel_says_so_when_it_can_not_be_submitted(own: Kernel, line: str) -> None:
    ran = own.run(f"%%bacalhau {line}\ntrue")
    assert ran.outputs == ["display", "error"]
    assert ran.displays[-1]["text/plain"] == "not submitted"


def test_a_cell_that_can_not_be_submitted_says_so_in_its_card(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh -i ./no/such.csv\ntrue")
    assert ran.outputs == ["display", "error"]
    assert ran.displays[-1]["text/plain"] == "not submitted"
    assert ran.displays[-1][MIME]["phase"] == "not submitted"


def test_the_card_of_a_detached_job_does_not_say_that_it_is_being_submitted(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh --detach\nsleep 1")
    assert ran.result[MIME]["job_id"]
    assert ran.result[MIME]["phase"] == ""


@pytest.mark.parametrize("flag", ["--dry-run", "--detach", "--id-only --no-wait", "--help"])
def test_cells_that_follow_no_job_show_no_card(kernel: Kernel, flag: str) -> None:
    ran = kernel.run(f"%%bacalhau sh {flag}\ntrue")
    assert "display" not in ran.outputs, ran.displays


def test_a_stopped_job_says_so_in_its_card(kernel: Kernel) -> None:
    stopped = threading.Event()

    def stop(ran: Ran) -> None:
        if "started" in ran.stdout and not stopped.is_set():
            stopped.set()
            with Client(data_dir=str(kernel.repo.path)) as client:
                client.job(job_of(ran)).stop("stopped by hand")

    ran = kernel.run("%%bacalhau sh\necho started; sleep 600", on_output=stop)
    assert "was stopped by hand" in ran.traceback
    assert ran.traceback.count("stopped") == 1, ran.traceback
    assert ran.displays[-1][MIME]["state"] == "Stopped"
    assert len(ran.display_ids) == 1


def watched(kernel: Kernel, message: str, ran: Ran, until: Callable[[], bool]) -> None:
    """Take the outputs of a cell until something holds."""
    while not until():
        reply = kernel.client.get_iopub_msg(timeout=60)
        if reply["parent_header"].get("msg_id") == message:
            kernel._take(ran, reply["header"]["msg_type"], reply["content"])


def started(kernel: Kernel) -> tuple[str, Ran]:
    """Run a cell until its job prints; return the request's id, and what came so far."""
    ran = Ran()
    message = kernel.client.execute("%%bacalhau sh\necho started; sleep 600", allow_stdin=False)
    watched(kernel, message, ran, lambda: "started" in ran.stdout)
    return message, ran


def restarted_while_running(kernel: Kernel, *, now: bool) -> str:
    """Restart a kernel in the middle of a cell; return the cell's job."""
    _, ran = started(kernel)
    # A kernel that takes longer is killed in the middle of what it does.
    kernel.manager.shutdown_wait_time = 60
    kernel.manager.restart_kernel(now=now)
    kernel.client.wait_for_ready(timeout=60)
    return job_of(ran)


@pytest.mark.parametrize("now", [False, True])
def test_a_job_outlives_the_restart_of_its_kernel(own: Kernel, now: bool) -> None:
    own.run(PATIENT)
    job_id = restarted_while_running(own, now=now)
    with Client(data_dir=str(own.repo.path)) as client:
        job = client.job(job_id)
        # Whoever wanted to stop it had time to.
        assert not wait_until(lambda: job.state is not JobStateType.RUNNING, timeout_s=2)
        job.stop()


def test_without_the_look_for_a_shutdown_a_restart_would_stop_the_job(own: Kernel) -> None:
    own.run(
        "from bacalhau_jupyter.notebook.live.endings import Ending\nEnding._kernel_ends = lambda self: False"
    )
    job_id = restarted_while_running(own, now=False)
    with Client(data_dir=str(own.repo.path)) as client:
        job = client.job(job_id)
        assert wait_until(lambda: job.state is JobStateType.STOPPED, timeout_s=60)


def test_a_kernel_that_ends_says_that_the_job_goes_on(own: Kernel) -> None:
    own.run(PATIENT)
    message, ran = started(own)
    own.interrupt()
    own.client.control_channel.send(own.client.session.msg("shutdown_request", {"restart": False}))
    watched(own, message, ran, lambda: bool(ran.error))
    again = f"%bacalhau attach {job_of(ran)[:10]}"
    assert "the kernel ends" in ran.traceback
    assert again in ran.traceback
    assert again in ran.displays[-1]["text/plain"]
    assert ran.displays[-1][MIME]["detached"]
    with Client(data_dir=str(own.repo.path)) as client:
        job = client.job(job_of(ran))
        assert job.state is JobStateType.RUNNING
        job.stop()


def test_the_log_of_a_job_is_folded_too(kernel: Kernel) -> None:
    kernel.run("%%bacalhau sh --detach\nseq 1 200000; seq 1 100000 | tr '\\n' ' '")
    kernel.run("job = _; job.wait()")
    ran = kernel.run("get_ipython().run_line_magic('bacalhau', f'job logs {job.id}')")
    assert ran.stdout.startswith("1\n2\n3\n")
    assert "of 200,001 lines left out" in ran.stdout
    assert len(ran.stdout) < 700_000


def test_the_record_of_submissions_names_notebook_and_cell(kernel: Kernel) -> None:
    kernel.run("import os; os.environ['JPY_SESSION_NAME'] = '/work/a.ipynb'")
    try:
        ran = kernel.run("%%bacalhau sh\ntrue", cell="cell-1")
        line = kernel.run("%bacalhau docker run --no-wait busybox true", cell="cell-2")
        assert line.status == "ok", line.traceback
    finally:
        kernel.run("del os.environ['JPY_SESSION_NAME']")
    first, second = Submissions(kernel.repo).every()[-2:]
    assert (first.job_id, first.notebook, first.cell) == (job_of(ran), "/work/a.ipynb", "cell-1")
    assert first.endpoint == ran.displays[-1][MIME]["endpoint"]
    assert second.cell == "cell-2"
    assert first.run and first.run != second.run
    with Client(data_dir=str(kernel.repo.path)) as client:
        meta = client.job(first.job_id).describe().meta
        # Its file name is what people know a job by; where it lies is nobody's business.
        assert re.fullmatch(r"a\.ipynb \[\d+\]", meta["jupyter.org/title"])
        assert "/work" not in str(meta)
        client.job(second.job_id).stop()
