"""Several jobs of one form: one is on its way at a time, whatever the others do."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bacalhau_jupyter.models.errors import BadRequest, NetworkFailure
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.notebook.form.form import JobForm, Notebook
from tests.services.common import wait_until

pytest.importorskip("ipywidgets")


class Jobs:
    """Stands for the notebook and its session: a job named ``slow`` is taken, and one that runs ends, when it may."""

    def __init__(self) -> None:
        self.session = self
        self.may_take, self.may_end = threading.Event(), threading.Event()

    def peek(self, context: str | None) -> None:
        return None

    def client(self, context: str | None) -> None:
        return None

    def signed(self, model: JobModel, body: str) -> JobModel:
        return model

    def submit(self, client: None, model: JobModel, **options: Any) -> Any:
        if model.name == "slow":
            assert self.may_take.wait(60)
        return SimpleNamespace(id=f"j-{model.name}")

    def follow(self, job: Any, **options: Any) -> Any:
        assert self.may_end.wait(60)
        raise NetworkFailure("the test needs no result")


def test_a_job_that_ends_lets_nobody_submit_twice_what_is_on_its_way() -> None:
    jobs = Jobs()
    form = JobForm(notebook=cast(Notebook, jobs)).fill(runs="docker", image="ubuntu", name="first")
    first = form.submit()
    assert wait_until(lambda: first.job is not None and not form._is_submitting, timeout_s=60)
    second = form.fill(name="slow").submit()
    jobs.may_end.set()
    with pytest.raises(NetworkFailure):
        first.result(60)
    with pytest.raises(BadRequest, match="is being submitted"):
        form.submit()
    jobs.may_take.set()
    with pytest.raises(NetworkFailure):
        second.result(60)
    assert not form._is_submitting
    assert form.runs == [first, second]
    form.close()
