"""Every rule, with the official words."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings

from bacalhau_jupyter.models.codec import decode
from bacalhau_jupyter.models.errors import ValidationError
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.normalize import normalize_job
from bacalhau_jupyter.models.jobs.validate import validate_stored, validate_submission
from tests.models.samples import REST, instances, load

ENGINE = {"Type": "docker", "Params": {"Image": "busybox"}}
INPUT = {"Source": {"Type": "s3"}, "Target": "/t", "Alias": "a"}
IN_TASK = "task main validation failed: "


def job(**members: Any) -> Job:
    task = {"Name": "main", "Engine": ENGINE, **members.pop("task", {})}
    return decode(json.dumps({"Type": "batch", "Tasks": [task], **members}), Job)


def refusal(candidate: Job | None) -> str:
    with pytest.raises(ValidationError) as caught:
        validate_submission(candidate)
    return caught.value.message


def test_a_good_job_passes() -> None:
    validate_submission(job())
    validate_submission(job(Type="ops", Count=1))
    validate_submission(job(Count=0))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"Type": ""}, "missing job type"),
        ({"Type": "foo"}, 'invalid job type: "foo"'),
        ({"Type": "Batch"}, 'invalid job type: "Batch"'),
        ({"Count": -1}, "job count must be >= 0"),
        ({"Count": 2**40}, "job count must be <= 2147483647"),
        ({"Priority": -(2**40)}, "job priority must be between -2147483647 and 2147483647"),
        (
            {"Type": "ops", "Count": 2},
            "ops jobs cannot specify count > 1 as they run on all matching nodes",
        ),
        (
            {"Type": "daemon", "Count": 2},
            "daemon jobs cannot specify count > 1 as they run on all matching nodes",
        ),
        ({"Tasks": []}, "missing job tasks"),
    ],
)
def test_job_rules(members: dict[str, Any], message: str) -> None:
    assert refusal(job(**members)) == message


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"Key": " ", "Operator": "exists"}, "selector key cannot be blank"),
        ({"Key": "a", "Operator": "in"}, "selector values cannot be empty for In or NotIn operators"),
        ({"Key": "a", "Operator": "notin"}, "selector values cannot be empty for In or NotIn operators"),
        (
            {"Key": "a", "Operator": "exists", "Values": ["x"]},
            "selector values must be empty for Exists or KeyNotInImap operators",
        ),
        (
            {"Key": "a", "Operator": "!", "Values": ["x"]},
            "selector values must be empty for Exists or KeyNotInImap operators",
        ),
        ({"Key": "a", "Operator": "="}, "selector values must have exactly one value for other operators"),
        (
            {"Key": "a", "Operator": "gt", "Values": ["x"]},
            'selector value "x" must be an integer for the operator gt',
        ),
        (
            {"Key": "a", "Operator": "like", "Values": ["x"]},
            'selector operator "like" is not supported, only =, ==, !=, in, notin, exists, !, gt, lt',
        ),
    ],
)
def test_constraint_rules(constraint: dict[str, Any], message: str) -> None:
    good = {"Key": "zone", "Operator": "=", "Values": ["eu"]}
    assert refusal(job(Constraints=[good, constraint])) == f"constraint 2 validation failed: {message}"


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"Engine": None}, "invalid engine: nil spec config"),
        ({"Engine": {}}, "invalid engine: missing spec type"),
        ({"Engine": {"Type": " "}}, "invalid engine: missing spec type"),
        ({"Env": {"lower": "v"}}, "environment variable 'lower' must be uppercase"),
        ({"Env": {"1A": "v"}}, "environment variable '1A' must start with a letter"),
        ({"Env": {"_A": "v"}}, "environment variable '_A' must start with a letter"),
        (
            {"Env": {"A-B": "v"}},
            "environment variable 'A-B' can only contain letters, numbers, and underscores",
        ),
        ({"Env": {"BACALHAU_X": "v"}}, "environment variable 'BACALHAU_X' cannot start with BACALHAU_"),
        ({"Env": {"A": ""}}, "environment variable 'A' cannot have empty value"),
        ({"Env": {"": "v"}}, "environment variable name cannot be empty"),
        ({"Timeouts": {"ExecutionTimeout": -3}}, "invalid timeouts: invalid execution timeout value: -3s"),
        ({"Timeouts": {"QueueTimeout": -60}}, "invalid timeouts: invalid queue timeout value: -1m0s"),
        ({"Timeouts": {"TotalTimeout": -1}}, "invalid timeouts: invalid total timeout value: -1s"),
        ({"Resources": {"CPU": "abc"}}, "invalid resources: invalid CPU value: abc"),
        ({"Resources": {"CPU": "-1"}}, "invalid resources: invalid CPU value: -1"),
        ({"Resources": {"Memory": "-1GB"}}, "invalid resources: invalid memory value: -1gb"),
        ({"Resources": {"Disk": "1x"}}, "invalid resources: invalid disk value: 1x"),
        ({"Resources": {"GPU": "1.5"}}, "invalid resources: invalid GPU value: 1.5"),
        (
            {"InputSources": [{"Source": {"Type": "s3"}}]},
            "invalid input sources: input source is missing a target",
        ),
        (
            {"InputSources": [{"Target": "/a"}]},
            "invalid input sources: invalid input source: nil spec config",
        ),
        (
            {"InputSources": [INPUT, {**INPUT, "Target": "/u"}]},
            "input source with alias 'a' already exists",
        ),
        (
            {"InputSources": [INPUT, {**INPUT, "Alias": "b"}]},
            "input source with target '/t' already exists",
        ),
        (
            {"ResultPaths": [{"Name": "n", "Path": "rel"}]},
            "invalid output: result path `rel` must be absolute",
        ),
        (
            {"ResultPaths": [{"Name": "n"}]},
            "invalid output: missing path\nresult path `` must be absolute",
        ),
        ({"ResultPaths": [{"Path": "/p"}]}, "invalid output: missing name"),
        (
            {"ResultPaths": [{"Name": "n", "Path": "/p"}, {"Name": "n", "Path": "/q"}]},
            "result path with name 'n' already exists",
        ),
        (
            {"ResultPaths": [{"Name": "n", "Path": "/p"}, {"Name": "m", "Path": "/p"}]},
            "result path '/p' already exists",
        ),
    ],
)
def test_task_rules(task: dict[str, Any], message: str) -> None:
    assert refusal(job(task=task)) == IN_TASK + message


def test_a_nameless_task_is_refused() -> None:
    assert refusal(job(task={"Name": ""})) == "task  validation failed: missing task name"


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"Type": "None", "Domains": ["example.com"]}, "domains can only be set for HTTP network mode"),
        ({"Type": "HTTP", "Domains": ["not a domain"]}, 'invalid domain "not a domain"'),
        ({"Type": "HTTP", "Domains": ["localhost"]}, 'invalid domain "localhost"'),
        ({"Type": "HTTP"}, "at least one domain is required when HTTP networking is enabled"),
        (
            {"Type": "HTTP", "Ports": [{"Name": "w"}]},
            "ports can only be set for Host or Bridge network modes",
        ),
        ({"Type": "Host", "Ports": [{}]}, "port mapping name is required"),
        (
            {"Type": "Host", "Ports": [{"Name": "1a"}]},
            "port name must be a valid environment variable name: "
            "start with letter/underscore and contain only letters, numbers, and underscores",
        ),
        ({"Type": "Host", "Ports": [{"Name": "a" * 238}]}, "port name too long (max 237 characters)"),
        (
            {"Type": "Host", "Ports": [{"Name": "w", "Static": 80}]},
            "static port 80 is in privileged port range (1-1023)",
        ),
        (
            {"Type": "Host", "Ports": [{"Name": "w", "Static": 70000}]},
            "static port 70000 is above maximum valid port 65535",
        ),
        ({"Type": "Bridge", "Ports": [{"Name": "w", "Target": -1}]}, "invalid target port -1"),
        (
            {"Type": "Host", "Ports": [{"Name": "w", "HostNetwork": "x"}]},
            "invalid host network IP address: x",
        ),
        (
            {"Type": "Bridge", "Ports": [{"Name": "w", "HostNetwork": "fe80::1%x]@evil.com"}]},
            "invalid host network IP address: fe80::1%x]@evil.com",
        ),
        (
            {"Type": "Full", "Ports": [{"Name": "w", "Target": 80}]},
            "target ports cannot be set for Host network mode",
        ),
        (
            {"Type": "Host", "Ports": [{"Name": "w"}, {"Name": "w"}]},
            'duplicate port mapping name "w"',
        ),
        (
            {"Type": "Host", "Ports": [{"Name": "v", "Static": 2000}, {"Name": "w", "Static": 2000}]},
            "duplicate port mapping static port 2000",
        ),
        (
            {"Type": "Bridge", "Ports": [{"Name": "v", "Target": 80}, {"Name": "w", "Target": 80}]},
            "duplicate port mapping target port 80",
        ),
    ],
)
def test_network_rules(network: dict[str, Any], message: str) -> None:
    assert refusal(job(task={"Network": network})) == f"{IN_TASK}invalid network: {message}"


@pytest.mark.parametrize(
    "domain", ["example.com:443", "https://example.com", "*.example.com", "10.0.0.0/8", "a b.com"]
)
def test_what_is_no_domain_is_told_how_one_is_written(domain: str) -> None:
    with pytest.raises(ValidationError, match="invalid domain") as caught:
        validate_submission(job(task={"Network": {"Type": "HTTP", "Domains": [domain]}}))
    assert ".example.com for its sub-domains" in str(caught.value.hint)


def test_good_domains_and_ports_pass() -> None:
    domains = ["example.com", ".Example.org", "10.0.0.1", "a-b.example.co.uk", "::1"]
    validate_submission(job(task={"Network": {"Type": "HTTP", "Domains": domains}}))
    ports = [{"Name": "a", "Static": 2000, "Target": 80}, {"Name": "b", "HostNetwork": "127.0.0.1"}]
    validate_submission(job(task={"Network": {"Type": "Bridge", "Ports": ports}}))


def test_no_job_at_all_is_refused() -> None:
    assert refusal(None) == "empty/nil job"


def test_the_official_answer_to_an_empty_job_is_ours_too() -> None:
    with pytest.raises(ValidationError) as caught:
        validate_submission(Job())
    envelope = caught.value.envelope()
    hint = envelope.pop("Hint")
    assert envelope == load(REST / "err_validation_400.json")
    assert "batch, service, ops or daemon" in hint


def test_all_broken_rules_are_reported_at_once() -> None:
    candidate = job(
        Type="",
        Count=-1,
        task={"Name": "", "Env": {"a": "1", "B": ""}, "Resources": {"CPU": "x", "GPU": "y"}},
    )
    assert refusal(candidate).split("\n") == [
        "missing job type",
        "job count must be >= 0",
        "task  validation failed: missing task name",
        "environment variable 'a' must be uppercase",
        "environment variable 'B' cannot have empty value",
        "invalid resources: invalid CPU value: x",
        "invalid GPU value: y",
    ]


STORED = {"ID": "j-1", "Name": "n", "Namespace": "default"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ID": ""}, "missing job ID"),
        ({"ID": "j 1"}, "job ID contains a space"),
        ({"ID": "j\0"}, "job ID contains a null character"),
        ({"Name": " "}, "missing job name"),
        ({"Name": "a\0"}, "job Name contains a null character"),
        ({"Namespace": ""}, "job must be in a namespace"),
        (
            {"task": {"ResultPaths": [{"Name": "n", "Path": "/p"}]}},
            IN_TASK + "publisher must be set if result paths are set",
        ),
        (
            {"task": {"Timeouts": {"ExecutionTimeout": 5, "QueueTimeout": 10, "TotalTimeout": 12}}},
            IN_TASK + "task timeouts validation failed: "
            "execution timeout 5s and queue timeout 10s should be less than total timeout 12s",
        ),
        (
            {"task": {"Timeouts": {"QueueTimeout": 100, "TotalTimeout": 60}}},
            IN_TASK + "task timeouts validation failed: "
            "execution timeout 1m0s and queue timeout 1m40s should be less than total timeout 1m0s",
        ),
        ({"Type": "foo"}, 'invalid job type: "foo"'),
    ],
)
def test_rules_of_a_stored_job(members: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_stored(job(**{**STORED, **members}))
    assert caught.value.message == message
    assert (caught.value.code, caught.value.component, caught.value.status) == ("BadRequest", "JobStore", 400)


def test_a_good_stored_job_passes() -> None:
    validate_stored(job(**STORED, task={"Timeouts": {"QueueTimeout": 86400}}))


def test_captured_jobs_are_valid() -> None:
    for path in REST.glob("job_*.json"):
        body = load(path)
        if "Job" in body:
            validate_stored(decode(json.dumps(body["Job"]), Job))


@settings(max_examples=60, deadline=None)
@given(instances(Job))
def test_any_job_passes_or_is_refused_before_and_after_normalising(any_job: Job) -> None:
    for candidate in (any_job, normalize_job(any_job)):
        try:
            validate_submission(candidate)
        except ValidationError as error:
            assert error.problems
            assert all(error.problems)


def test_hostile_texts_do_not_make_validation_slow() -> None:
    started = time.process_time()
    domains = ["a-" * 50_000 + "!", "a." * 50_000, "-" * 100_000]
    resources = {"CPU": "9" * 100_000, "Memory": "1," * 50_000 + "!", "Disk": "1." + "9" * 100_000}
    assert refusal(job(task={"Network": {"Type": "HTTP", "Domains": domains}, "Resources": resources}))
    assert time.process_time() - started < 5
