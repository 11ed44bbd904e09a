"""``-i job:ID``: what is refused before anybody looks for the job."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.client.jobs.job_inputs import resolve_input
from bacalhau_jupyter.models.errors import BadRequest


class Nobody:
    """Finds no job, since nobody should look for one."""

    def job(self, job_id: str) -> Job:
        raise AssertionError(f"somebody looked for {job_id}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("job:", "names no job"),
        ("src=job:j-1,opt=archive=yes", "archive is true or false, not 'yes'"),
        ("src=job:j-1,opt=colour=red", "has no option 'colour'"),
    ],
)
def test_an_input_that_makes_no_sense_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        resolve_input(text, Nobody)


def test_other_inputs_stay_as_they_are() -> None:
    assert resolve_input("s3://bucket/key", Nobody) == ["s3://bucket/key"]
