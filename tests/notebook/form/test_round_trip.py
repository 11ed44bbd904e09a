"""Spec → form → spec loses nothing, whatever the spec holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.client.inputs.uri import parse_input
from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, ResultPath
from bacalhau_jupyter.notebook.form.checking import check, seen_input
from bacalhau_jupyter.notebook.form.reading import read
from bacalhau_jupyter.notebook.form.showing import kept, shown
from bacalhau_jupyter.notebook.form.state import blank_job
from tests.models.samples import instances
from tests.notebook.form.specs import JOBS


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(JOBS)
@example(Job())
def test_a_spec_comes_back_byte_for_byte(job: Job) -> None:
    again, problems = read(shown(job), seen_input, {})
    assert problems == []
    assert encode(again) == encode(job)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(instances(Job))
def test_any_decodable_job_comes_back_byte_for_byte(job: Job) -> None:
    again, problems = read(shown(job), seen_input, {})
    assert problems == []
    assert encode(again) == encode(job)


EDITS: dict[str, tuple[str, Any]] = {
    "cpu": ("2", lambda job: job.task.resources.cpu == "2"),
    "memory": ("512mb", lambda job: job.task.resources.memory == "512mb"),
    "env": ("NEW=1", lambda job: job.task.env["NEW"] == "1"),
    "labels": ("team=a", lambda job: job.labels["team"] == "a"),
    "outputs": ("more:/more", lambda job: ResultPath(name="more", path="/more") in job.task.result_paths),
    "execution_timeout": ("7m", lambda job: job.task.timeouts.execution_timeout == 420),
    "namespace": ("mine", lambda job: job.namespace == "mine"),
    "count": ("4", lambda job: job.count == 4),
    "priority": ("44", lambda job: job.priority == 44),
    "constraints": ("zone in (a,b)", lambda job: job.constraints[0].values == ["a", "b"]),
    "publisher": ("s3://x/y", lambda job: job.task.publisher.params == {"bucket": "x", "key": "y"}),
}


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(JOBS, st.sampled_from(sorted(EDITS)))
def test_an_edit_of_one_field_changes_only_that_part(job: Job, field: str) -> None:
    text, is_there = EDITS[field]
    before = shown(job)
    changed, problems = read(before.changed(**{field: text}), seen_input, {})
    assert problems == []
    assert is_there(changed)
    # What no field shows is still there, and taking the edit back takes all of it back.
    again, _ = read(shown(changed).changed(base=job, **{field: getattr(before, field)}), seen_input, {})
    unsaid = {name.partition(" (")[0] for name in kept(job)} - {field}
    assert unsaid <= {name.partition(" (")[0] for name in kept(changed)}
    assert encode(again) == encode(job)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(JOBS)
def test_a_check_never_fails_and_never_changes_the_job(job: Job) -> None:
    checked, _ = check(shown(job))
    assert encode(checked) == encode(job)


@pytest.mark.parametrize(
    "text",
    ["s3://b/k", "s3://b/*,opt=region=x", "ipfs://cid/a:/in", '"https://h/a,b"', "file:///data,opt=rw=true"],
)
def test_an_address_of_a_cell_is_shown_as_an_address(text: str) -> None:
    (row,) = shown(blank_with(parse_input(text))).inputs
    assert not row.is_kept
    assert parse_input(row.text) == row.source


def blank_with(*inputs: InputSource) -> Job:
    return build.docker("busybox", inputs=list(inputs))


def test_a_blank_form_is_what_a_cell_without_flags_makes() -> None:
    assert kept(blank_job()) == []
    job, problems = check(shown(blank_job()).changed(image="busybox", command="echo hi"))
    assert problems == []
    assert encode(job) == encode(build.docker("busybox", ["echo", "hi"]))
