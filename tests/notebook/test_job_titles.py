"""What jobs of a notebook are called, whatever submitted them, in a real kernel."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.config.submissions import Submissions
from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import Kernel

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SETUP = """
import os
os.environ['JPY_SESSION_NAME'] = '/work/quickstart.ipynb'
from bacalhau_jupyter import Client, process, remote
client = Client()
def newest():
    return client.jobs(limit=1)[0].meta.get('jupyter.org/title', '')
@remote
def doubled(x):
    return 2 * x
"""


@pytest.fixture(scope="module")
def titled_kernel(kernel: Kernel) -> Kernel:
    ran = kernel.run(SETUP)
    assert ran.status == "ok", ran.traceback
    return kernel


@pytest.mark.parametrize(
    "code",
    [
        "%bacalhau docker run --id-only --no-wait busybox -- echo hi",
        "client.submit(process('true')).wait()",
        "doubled(2)",
        "doubled.map([2])",
    ],
)
def test_a_job_is_called_by_its_notebook_and_cell_whatever_submits_it(
    titled_kernel: Kernel, code: str
) -> None:
    number = titled_kernel.value("get_ipython().displayhook.prompt_count")
    ran = titled_kernel.run(code)
    assert ran.status == "ok", ran.traceback
    assert titled_kernel.value("newest()") == f"quickstart.ipynb [{number + 1}]"


def test_a_name_that_a_person_gave_is_not_overwritten(titled_kernel: Kernel) -> None:
    titled_kernel.run(
        "spec = {'Name': 'mine', 'Type': 'batch', 'Tasks': [{'Name': 'main', "
        "'Engine': {'Type': 'process', 'Params': {'Command': ['true']}}}]}"
    )
    ran = titled_kernel.run("client.submit(spec).wait()")
    assert ran.status == "ok", ran.traceback
    assert titled_kernel.value("(client.jobs(limit=1)[0].name, newest())") == ("mine", "")


def test_the_card_and_the_record_of_submissions_have_the_title_at_once(titled_kernel: Kernel) -> None:
    number = titled_kernel.value("get_ipython().displayhook.prompt_count")
    ran = titled_kernel.run("%%bacalhau sh\ntrue")
    title = f"quickstart.ipynb [{number + 1}]"
    with_job = [data for data in ran.displays if data[MIME]["job_id"]]
    assert {data[MIME]["title"] for data in with_job} == {title}
    assert all(data["text/plain"].startswith(f"{title} · job j-") for data in with_job)
    assert Submissions(titled_kernel.repo).every()[-1].title == title
