"""What shapes a job, as one value, and as keywords."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from bacalhau_jupyter.client.jobs.build import docker, job_of, process
from bacalhau_jupyter.client.jobs.options import JobKeywords, JobOptions
from bacalhau_jupyter.models.jobs.job import JobType
from bacalhau_jupyter.models.jobs.spec import SpecConfig


def test_the_keywords_of_people_are_the_fields_of_the_options() -> None:
    assert typing.get_type_hints(JobKeywords) == typing.get_type_hints(JobOptions)


def test_keywords_and_options_make_the_same_job() -> None:
    engine = SpecConfig(type="process", params={"Command": ["true"]})
    assert process(["true"], cpu=2, name="x", env={"A": "1"}) == job_of(
        engine, JobOptions(cpu=2, name="x", env={"A": "1"})
    )


def test_a_keyword_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="'colour'"):
        docker("busybox", colour="red")  # type: ignore[call-arg]


def test_options_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        JobOptions().cpu = "2"  # type: ignore[misc]


def test_target_all_makes_an_ops_job() -> None:
    job = docker("busybox", target="all", count=3)
    assert (job.type, job.count) == (JobType.OPS, 0)
