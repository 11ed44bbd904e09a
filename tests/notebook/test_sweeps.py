"""``--sweep`` and ``--count`` in a real kernel, on a real node."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.notebook.live.card import MIME as CARD
from tests.notebook.conftest import PATIENT, Kernel, Ran
from tests.services.common import wait_until

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


MIME = "application/vnd.bacalhau.jobs+json"


def cards_of(ran: Ran) -> list[dict[str, Any]]:
    """Return what the card showed, one after the other."""
    return [data for data in ran.displays if MIME in data]


def rows_of(ran: Ran) -> list[str]:
    """Return the counts that the card showed."""
    return [data["text/plain"].partition("\n")[0] for data in cards_of(ran)]


def all_are_submitted(ran: Ran) -> bool:
    """Whether the card shows a job for each combination, and one that runs; others come while the first runs."""
    jobs = cards_of(ran)[-1][MIME]["jobs"] if cards_of(ran) else []
    return all("job_id" in job for job in jobs) and any(job.get("outcome") == "running" for job in jobs)


def test_frames_of_all_combinations_come_back_as_one(kernel: Kernel) -> None:
    ran = kernel.run(
        "%%bacalhau python --sweep lr=0.1,0.01 --sweep 'kind=\"a,b\",c' --out t\n"
        "import pandas as pd\nassert isinstance(lr, float)\nt = pd.DataFrame({'score': [lr * 10], 'kind': [kind]})"
    )
    assert ran.status == "ok", ran.traceback
    assert kernel.value("t.to_dict('list')") == {
        "lr": [0.1, 0.1, 0.01, 0.01],
        "kind_": ["a,b", "c", "a,b", "c"],
        "score": [1.0, 1.0, 0.1, 0.1],
        "kind": ["a,b", "c", "a,b", "c"],
    }
    assert rows_of(ran)[-1] == "4 of 4 combinations done"
    assert rows_of(ran)[0] == "preparing the jobs"
    record = cards_of(ran)[-1][MIME]
    assert [job["label"] for job in record["jobs"]] == [
        f"lr={lr}, kind={kind}" for lr in ("0.1", "0.01") for kind in ('"a,b"', "c")
    ]
    assert {job["outcome"] for job in record["jobs"]} == {"succeeded"}
    assert all(job["job_id"] and job["duration_s"] > 0 for job in record["jobs"])
    groups = "set(job.labels['bacalhau-group'] for job in Client().jobs(limit=4))"
    kernel.run("from bacalhau_jupyter import Client")
    assert kernel.value(f"[*{groups}]") == [record["group"]]


def test_other_values_come_back_with_their_parameters(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python --sweep n=1,2 --out square\nsquare = n ** 2")
    assert ran.status == "ok", ran.traceback
    assert kernel.value("square") == [{"n": 1, "square": 1}, {"n": 2, "square": 4}]


def test_a_sweep_with_names_shows_its_card_alone(kernel: Kernel) -> None:
    assert kernel.run("%%bacalhau python --sweep n=1,2 --out named\nnamed = n").result == {}
    assert "2 jobs" in kernel.run("_").result["text/plain"]


def test_other_programs_find_the_parameters_in_their_environment(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh --sweep n=1,2 --out t\nprintf 'x\\n%s\\n' $N > outputs/t.csv")
    assert ran.status == "ok", ran.traceback
    assert kernel.value("t.to_dict('list')") == {"n": [1, 2], "x": [1, 2]}


def test_sql_has_them_as_variables(kernel: Kernel) -> None:
    pytest.importorskip("duckdb")
    ran = kernel.run("%%bacalhau sql --sweep n=2,3 --out t\nselect getvariable('n') * 2 as double")
    assert ran.status == "ok", ran.traceback
    assert kernel.value("t.to_dict('list')") == {"n": [2, 3], "double": [4, 6]}


def test_the_others_go_on_and_one_exception_names_those_that_failed(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python --sweep n=1,0,2 --out inverse\ninverse = 1 / n")
    assert ran.status == "error"
    assert "1 of 3 combinations failed: n=0:" in ran.error["evalue"]
    assert "ZeroDivisionError" in ran.error["evalue"]
    assert kernel.value("inverse") == [{"n": 1, "inverse": 1.0}, {"n": 2, "inverse": 0.5}]
    assert rows_of(ran)[-1] == "3 of 3 combinations done, 1 failed"
    failed = cards_of(ran)[-1][MIME]["jobs"][1]
    assert (failed["outcome"], failed["exit_code"]) == ("failed", 1)
    assert "ZeroDivisionError" in failed["error"]
    assert "✕ n=0 · exit 1" in cards_of(ran)[-1]["text/plain"]
    assert "✕ exit 1</span>" in cards_of(ran)[-1]["text/html"]


def test_a_range_of_numbers_is_swept(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python --sweep lr=0.1:0.3:0.1 --out twice\ntwice = lr * 2")
    assert ran.status == "ok", ran.traceback
    assert kernel.value("twice") == [{"lr": lr, "twice": lr * 2} for lr in (0.1, 0.2, 0.3)]


def test_a_sweep_that_can_not_be_submitted_says_so_in_its_card(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau python --sweep n=1,2 --memory 512\nn")
    assert ran.status == "error"
    assert rows_of(ran) == ["preparing the jobs", "not submitted"]


def test_the_calls_of_a_map_share_one_card(kernel: Kernel) -> None:
    ran = kernel.run(
        "from bacalhau_jupyter import remote\n@remote\ndef half(x):\n    return x / 2\nhalf.map([2, 4]).df()"
    )
    assert ran.status == "ok", ran.traceback
    assert rows_of(ran)[-1] == "2 of 2 calls done"
    assert [job["label"] for job in cards_of(ran)[-1][MIME]["jobs"]] == ["2", "4"]


def test_an_interrupt_stops_all_jobs_of_a_sweep(kernel: Kernel) -> None:
    interrupted = threading.Event()

    def interrupt(ran: Ran) -> None:
        if not interrupted.is_set() and all_are_submitted(ran):
            interrupted.set()
            kernel.interrupt()

    ran = kernel.run("%%bacalhau sh --sweep n=1,2,3,4,5,6\nsleep 600", on_output=interrupt)
    assert interrupted.is_set()
    assert ran.status == "error"
    assert "stopped: 6 of 6 combinations done, 6 stopped" in "".join(ran.error["traceback"])
    kernel.run("from bacalhau_jupyter import Client")
    assert set(kernel.value("[job.state.state_type.value for job in Client().jobs(limit=6)]")) == {"Stopped"}


def test_a_large_sweep_is_refused_where_nobody_can_answer(kernel: Kernel) -> None:
    many = ",".join(map(str, range(101)))
    ran = kernel.run(f"%%bacalhau python --sweep n={many}\nn")
    assert ran.status == "error"
    assert "--sweep-limit 101" in "".join(ran.error["traceback"])


def test_detached_sweeps_return_their_jobs(kernel: Kernel) -> None:
    ran = kernel.run("%%bacalhau sh --sweep n=1,2 --detach\ntrue")
    assert ran.status == "ok", ran.traceback
    assert kernel.value("[type(job).__name__ for job in _]") == ["Job", "Job"]
    record = cards_of(ran)[-1][MIME]
    assert [bool(job["job_id"]) for job in record["jobs"]] == [True, True]


def test_partitions_of_one_job_come_back_as_a_list(kernel: Kernel) -> None:
    ran = kernel.run(
        "%%bacalhau python --count 3 --out part\nimport os\npart = int(os.environ['BACALHAU_PARTITION_INDEX'])"
    )
    assert ran.status == "ok", ran.traceback
    assert kernel.value("part") == [0, 1, 2]
    attached = kernel.run("%bacalhau attach")
    assert attached.result == {}, "only variables were brought back: there is no file to show"


def test_the_card_of_a_job_in_parts_tells_how_each_of_them_ended(kernel: Kernel) -> None:
    ran = kernel.run(
        "%%bacalhau sh --count 3 --no-check\necho in $BACALHAU_PARTITION_INDEX; exit $BACALHAU_PARTITION_INDEX"
    )
    card = ran.displays[-1]
    first, *rows = card["text/plain"].split("\n")
    assert "✕ exit " in first
    assert "1 of 3 parts succeeded" in first
    assert [row.split(" · ")[:2] for row in rows] == [
        ["  ✓ part 0", "succeeded"],
        ["  ✕ part 1", "exit 1"],
        ["  ✕ part 2", "exit 2"],
    ]
    for number, part in enumerate(card[CARD]["parts"]):
        job = card[CARD]["job_id"]
        printed = kernel.run(f"%bacalhau job logs {job} --execution-id {part['execution']}").stdout
        assert printed == f"in {number}\n"


SLEEPING = {
    "sweep": "%%bacalhau sh --sweep n=1,2\nsleep 600",
    "map": "from bacalhau_jupyter import remote\n@remote\ndef f(x):\n    import time; time.sleep(600)\nf.map([1, 2])",
}


@pytest.mark.parametrize("how", SLEEPING)
def test_jobs_outlive_the_restart_of_their_kernel(kernel: Kernel, how: str) -> None:
    kernel.run(PATIENT)
    ran = Ran()
    message = kernel.client.execute(SLEEPING[how], allow_stdin=False)
    while not all_are_submitted(ran):
        reply = kernel.client.get_iopub_msg(timeout=60)
        if reply["parent_header"].get("msg_id") == message:
            kernel._take(ran, reply["header"]["msg_type"], reply["content"])
    # A kernel that takes longer is killed in the middle of what it does.
    kernel.manager.shutdown_wait_time = 60
    kernel.manager.restart_kernel(now=False)
    kernel.client.wait_for_ready(timeout=60)
    with Client(data_dir=str(kernel.repo.path)) as client:
        jobs = [client.job(model.id) for model in client.jobs(limit=2)]
        stopped = (JobStateType.STOPPED, JobStateType.FAILED)
        # Whoever wanted to stop them had time to.
        assert not wait_until(lambda: any(job.state in stopped for job in jobs), timeout_s=2)
        for job in jobs:
            job.stop()
    kernel.run("%load_ext bacalhau_jupyter")


@pytest.mark.parametrize(("answer", "jobs"), [("no", 0), ("y", 101)])
def test_a_large_sweep_asks_whoever_can_answer(kernel: Kernel, answer: str, jobs: int) -> None:
    kernel.run("from bacalhau_jupyter import Client")
    many = ",".join(map(str, range(101)))
    code = f"%%bacalhau sh --sweep n={many} --detach -l asked={answer}\ntrue"
    message = kernel.client.execute(code, allow_stdin=True, stop_on_error=False)
    question = kernel.client.get_stdin_msg(timeout=60)
    assert "101 combinations" in question["content"]["prompt"]
    kernel.client.input(answer)
    reply = kernel.reply(message)
    assert reply["status"] == ("ok" if jobs else "error")
    assert kernel.value(f"len(Client().jobs(limit=200, labels=['asked={answer}']))") == jobs


@pytest.mark.docker
def test_containers_find_the_parameters_too(kernel: Kernel, busybox_image: str) -> None:
    ran = kernel.run(
        f"%%bacalhau docker --sweep n=1,2 --out t {busybox_image}\nprintf 'x\\n%s\\n' $N > outputs/t.csv"
    )
    assert ran.status == "ok", ran.traceback
    assert kernel.value("t.to_dict('list')") == {"n": [1, 2], "x": [1, 2]}
