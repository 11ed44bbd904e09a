"""The node dies under a cell: the cell goes on, nothing is lost and nothing comes twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bacalhau_jupyter.config.election import read_record
from bacalhau_jupyter.config.repo import Repo
from tests.notebook.conftest import Kernel, Ran
from tests.services.waiting import found

pytestmark = pytest.mark.timeout(300)

# After two of its lines it waits until the node was killed, which can take longer than all of them.
BODY = """i=0
while [ $i -lt 60 ]; do
  # Before the line that the test waits for, since it looks for the file then.
  case $i in 10|40) echo > held-$i;; esac
  echo "päivä-$i-日本"; echo "err-$i-ü" >&2
  case $i in 10|40) until [ -e go-$i ]; do sleep 0.1; done;; esac
  i=$((i+1)); sleep 0.1
done"""


def test_output_is_whole_and_single_although_the_node_is_killed_twice(kernel: Kernel) -> None:
    left = [10, 40]

    def kill(ran: Ran) -> None:
        if left and f"päivä-{left[0]}-" in ran.stdout:
            record = read_record(kernel.repo)
            # Lines may still come that the node sent before it was killed.
            if record is not None:
                os.kill(record.pid, signal.SIGKILL)
                line = left.pop(0)
                (held,) = found(kernel.repo.path, f"held-{line}")
                held.with_name(f"go-{line}").touch()

    ran = kernel.run(f"%%bacalhau sh\n{BODY}", on_output=kill)
    assert left == []
    assert ran.status == "ok", ran.traceback
    assert ran.stdout == "".join(f"päivä-{i}-日本\n" for i in range(60))
    assert ran.stderr == "".join(f"err-{i}-ü\n" for i in range(60))
    assert kernel.value("_.exit_code") == 0


def test_a_submission_whose_answer_is_lost_makes_one_job(tmp_path: Path) -> None:
    # As if the node died right after it had taken the job: the answer never gets to the client.
    script = (
        "import sys; from bacalhau_jupyter import Client; from bacalhau_jupyter.client import client as module\n"
        "from bacalhau_jupyter.client.jobs.build import process\n"
        "from bacalhau_jupyter.models.errors import NetworkFailure\n"
        "real = module.AsyncAPI.submit\n"
        "cut = []\n"
        "async def submit(self, job, *, force=False):\n"
        "    answer = await real(self, job, force=force)\n"
        "    if not cut:\n"
        "        cut.append(answer.job_id)\n"
        "        raise NetworkFailure('cut off', retryable=True)\n"
        "    return answer\n"
        "module.AsyncAPI.submit = submit\n"
        "client = Client(data_dir=sys.argv[1])\n"
        "job = client.submit(process('true'))\n"
        "assert job.id == cut[0], (job.id, cut)\n"
        "job.wait()\n"
        "print(len(client.jobs()))\n"
    )
    repo = Repo.open(tmp_path / "repo")
    (repo.path / "config.yaml").write_text("Node:\n  GracePeriod: 0s\n")
    done = subprocess.run(
        [sys.executable, "-c", script, str(repo.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "1\n", done.stderr
