"""Normalising and sanitising."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings

from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.normalize import normalize_job, sanitize_submission
from bacalhau_jupyter.models.jobs.spec import NetworkType
from tests.models.samples import REST, instances, load

TASK = {"Name": "main", "Engine": {"Type": " docker "}}


def job(**members: object) -> Job:
    return decode(json.dumps({"Type": "batch", "Tasks": [TASK], **members}), Job)


@pytest.mark.parametrize(
    ("kind", "given_count", "count"),
    [
        ("batch", None, 1),
        ("service", None, 1),
        ("batch", 0, 0),
        ("service", 0, 0),
        ("batch", 5, 5),
        ("ops", None, 0),
        ("daemon", None, 0),
        ("ops", 1, 0),
        ("daemon", 7, 0),
        ("nonsense", None, 0),
    ],
)
def test_count_per_job_type(kind: str, given_count: int | None, count: int) -> None:
    assert normalize_job(job(Type=kind, Count=given_count)).count == count


def test_a_minimal_job_gets_the_form_the_official_server_stores() -> None:
    stored = load(REST / "job_env.json")["Job"]
    submitted = {
        "Name": "env",
        "Type": "batch",
        "Tasks": [
            {
                "Name": "a",
                "Engine": {
                    "Type": "docker",
                    "Params": {"Image": "busybox", "Parameters": ["sh", "-c", "env | sort; pwd; ls /"]},
                },
                "Publisher": None,
                "Env": {"FOO": "bar"},
                "Resources": {"CPU": "500M", "Memory": " 512 Mb"},
                "Network": {"Type": "full", "Ports": [{"Name": "web"}]},
            }
        ],
        "Labels": None,
    }
    ours = json.loads(encode(normalize_job(decode(json.dumps(submitted), Job))))
    assert ours["Tasks"] == stored["Tasks"]
    for key in ("Namespace", "Count", "Constraints", "Labels", "Name", "Type", "Priority"):
        assert ours[key] == stored[key]


def test_absent_objects_become_empty_ones_on_the_wire() -> None:
    task = json.loads(encode(normalize_job(job())))["Tasks"][0]
    assert task == {
        "Name": "main",
        "Engine": {"Type": "docker"},
        "Publisher": {"Type": ""},
        "Resources": {},
        "Network": {"Type": "Default"},
        "Timeouts": {},
    }


def test_spaces_and_case_are_cleaned() -> None:
    task = {
        **TASK,
        "InputSources": [{"Source": {"Type": " s3 "}, "Alias": " a ", "Target": " /in "}],
        "ResultPaths": [{"Name": " out ", "Path": " /out "}],
        "Publisher": {"Type": " local"},
        "Network": {"Type": "http", "Domains": [" Example.COM "]},
    }
    clean = normalize_job(job(Tasks=[task])).task
    assert clean.input_sources[0].source.type == "s3"
    assert (clean.input_sources[0].alias, clean.input_sources[0].target) == ("a", "/in")
    assert (clean.result_paths[0].name, clean.result_paths[0].path) == ("out", "/out")
    assert clean.publisher.type == "local"
    assert clean.network.type is NetworkType.HTTP
    assert clean.network.domains == ["example.com"]


def test_a_nameless_job_is_named_after_the_id_it_brings() -> None:
    assert normalize_job(job(ID="j-1")).name == "j-1"
    assert normalize_job(job(ID="j-1", Name="n")).name == "n"
    assert normalize_job(job()).name == ""


@settings(max_examples=60, deadline=None)
@given(instances(Job))
def test_normalising_is_idempotent_and_leaves_no_count_open(any_job: Job) -> None:
    once = normalize_job(any_job)
    assert normalize_job(once) == once
    assert encode(normalize_job(once)) == encode(once)
    assert once.count is not None


def test_a_client_may_not_decide_what_the_server_decides() -> None:
    submitted = job(
        ID="j-mine",
        State={"StateType": "Running"},
        Revision=2,
        Version=3,
        CreateTime=4,
        ModifyTime=5,
        Tasks=[TASK, TASK],
        Meta={"bacalhau.org/requester.id": "evil", "mine": "kept"},
    )
    clean, warnings = sanitize_submission(submitted)
    assert warnings == [
        "job state is ignored when submitting a job",
        "job revision is ignored when submitting a job",
        "job version is ignored when submitting a job",
        "job create time is ignored when submitting a job",
        "job modify time is ignored when submitting a job",
        "job ID is ignored when submitting a batch job",
        "only one task is supported per job",
        'job meta key "bacalhau.org/requester.id" is reserved and will be ignored',
    ]
    assert clean == job(Meta={"mine": "kept"})


@pytest.mark.parametrize("kind", ["service", "daemon"])
def test_long_running_jobs_may_bring_their_id(kind: str) -> None:
    clean, warnings = sanitize_submission(job(Type=kind, ID="mine"))
    assert (clean.id, warnings) == ("mine", [])
