"""What a node tells a receiver of traces and figures: one trace from the caller to the container, and no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.otlp import OtlpReceiver, ReceivedSpan

SECRET = "s3cr3t-value-of-a-variable"
JOBS = "/api/v1/orchestrator/jobs"
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver that answers."""
    running = OtlpReceiver()
    yield running
    running.close()


def run(node: ServedNode, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this user beside the node."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("BACALHAU_", "OTEL_"))}
    done = subprocess.run(
        [sys.executable, *command],
        env={**kept, **node.client_env(), **variables},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def shell(node: ServedNode, *words: str, **variables: str) -> str:
    """Run the shell command; return what it printed."""
    return run(node, ["-m", "bacalhau_jupyter", *words], **variables).stdout


def chain(receiver: OtlpReceiver, span: ReceivedSpan) -> list[str]:
    """Return the names of a span and of those above it."""
    by_id = {each.id: each for each in receiver.spans}
    names = [span.name]
    while span.parent in by_id:
        span = by_id[span.parent]
        names.append(span.name)
    return names


def spec(path: Path, image: str, *command: str) -> str:
    """Write the spec of a job with an input and a secret; return where."""
    task = {
        "Name": "main",
        "Engine": {"Type": "docker", "Params": {"Image": image, "Parameters": list(command)}},
        "Env": {"API_TOKEN": SECRET},
        "InputSources": [
            {"Source": {"Type": "inline", "Params": {"URL": "data:,hello"}}, "Target": "/inputs/hello"}
        ],
        "Publisher": {"Type": "local"},
    }
    file = path / "job.json"
    file.write_text(json.dumps({"Type": "batch", "Count": 1, "Tasks": [task]}), encoding="utf-8")
    return str(file)


def test_one_trace_leads_from_the_shell_into_the_container(
    node_factory: NodeFactory, receiver: OtlpReceiver, busybox_image: str, tmp_path: Path
) -> None:
    node = node_factory(env=receiver.environment())
    job_file = spec(tmp_path, busybox_image, "sh", "-c", "echo told=$TRACEPARENT")
    said = shell(node, "job", "run", "-f", job_file, **receiver.environment())
    wait = "docker.container.wait"
    receiver.wait_for_spans([wait, "job", "pkg/compute.ExecutorBuffer.Run", "bacalhau-jupyter"])
    (root,), (job,) = receiver.named("bacalhau-jupyter"), receiver.named("job")
    (execution,) = receiver.named("pkg/compute.ExecutorBuffer.Run")
    assert f"told=00-{root.trace}-{execution.id}-01" in said
    above = [execution.name, "job", JOBS, "PUT", "bacalhau-jupyter"]
    for name in (
        wait,
        "docker.container.start",
        "pkg/storage/inline.InlineStorage.PrepareStorage",
        "pkg/publisher/local.Publisher.PublishResult",
    ):
        (span,) = receiver.named(name)
        assert chain(receiver, span) == [name, *above]
        assert span.attributes["jobid"] == job.attributes["jobid"]
    evaluation = receiver.named("pkg/orchestrator.Worker.processEvaluation")[0]
    assert chain(receiver, evaluation)[1:] == above[1:]
    figures = {
        "bacalhau_node_info",
        "jobs_completed",
        "job_duration_milliseconds",
        "scheduler.process.count",
        "message.handler.process.count",
        "eval_broker_ready",
        "http.server.request.duration",
    }
    receiver.wait(lambda: figures <= set(receiver.metrics), "figures")
    ((attributes, count),) = receiver.metrics["job_duration_milliseconds"].points
    assert (attributes["job_type"], attributes["task_engine"], count) == ("batch", "docker", 1)
    node.stop()
    assert not [body for body in receiver.raw if SECRET.encode() in body or node.key.encode() in body]
    lines = node.output.read_text(encoding="utf-8")
    assert f"JobID={job.attributes['jobid']} ExecutionID={execution.attributes['executionid']}" in lines


def test_a_cell_and_its_job_are_one_trace(node_factory: NodeFactory, receiver: OtlpReceiver) -> None:
    node = node_factory(env=receiver.environment())
    cell = (
        "from IPython.testing.globalipapp import start_ipython; shell = start_ipython(); "
        "shell.run_line_magic('load_ext', 'bacalhau_jupyter'); "
        "shell.run_cell_magic('bacalhau', 'bash', 'echo told=$TRACEPARENT')"
    )
    run(node, ["-c", cell], **receiver.environment())
    receiver.wait_for_spans(["%%bacalhau", "job", "pkg/compute.ExecutorBuffer.Run"])
    (root,), (execution,) = receiver.named("%%bacalhau"), receiver.named("pkg/compute.ExecutorBuffer.Run")
    assert chain(receiver, execution) == [execution.name, "job", JOBS, "PUT", "%%bacalhau"]
    assert execution.trace == root.trace


def test_a_callers_trace_reaches_the_task_through_a_node_that_tells_nothing(
    node: ServedNode, busybox_image: str, tmp_path: Path
) -> None:
    job_file = spec(tmp_path, busybox_image, "sh", "-c", "echo told=$TRACEPARENT")
    assert f"told={CALLER}" in shell(node, "job", "run", "-f", job_file, TRACEPARENT=CALLER)


def test_a_task_without_a_trace_has_no_variable_of_one(
    node: ServedNode, busybox_image: str, tmp_path: Path
) -> None:
    job_file = spec(tmp_path, busybox_image, "sh", "-c", "echo told=${TRACEPARENT-none}")
    assert "told=none" in shell(node, "job", "run", "-f", job_file)


def test_the_trace_of_a_job_goes_on_after_a_restart_of_the_node(
    node_factory: NodeFactory, receiver: OtlpReceiver, busybox_image: str, tmp_path: Path
) -> None:
    node = node_factory(env=receiver.environment())
    job_file = spec(tmp_path, busybox_image, "sh", "-c", "until [ -e /tmp/never ]; do sleep 0.1; done")
    job_id = shell(node, "job", "run", "--no-wait", "--id-only", job_file).strip()
    receiver.wait_for_spans(["docker.container.start"])
    node.stop()
    again = node_factory(env=receiver.environment())
    shell(again, "job", "stop", job_id)
    receiver.wait_for_spans(["job", "pkg/compute.ExecutorBuffer.Run"])
    (started,), (job,) = receiver.named("docker.container.start"), receiver.named("job")
    assert chain(receiver, started)[:3] == [started.name, "pkg/compute.ExecutorBuffer.Run", "job"]
    assert job.attributes == job.attributes | {"jobid": job_id, "outcome": "stopped"}


def test_a_failed_job_is_told_as_failed_without_its_words(
    node_factory: NodeFactory, receiver: OtlpReceiver, busybox_image: str, tmp_path: Path
) -> None:
    node = node_factory(env=receiver.environment())
    job_file = spec(tmp_path, busybox_image, f"/no/such/{SECRET}")
    job_id = shell(node, "job", "run", "--no-wait", "--id-only", job_file).strip()
    receiver.wait_for_spans(["job"])
    (job,) = receiver.named("job")
    assert (job.attributes["jobid"], job.attributes["outcome"], job.is_error) == (job_id, "failed", True)
    receiver.wait(lambda: "jobs_failed" in receiver.metrics, "the figure of failed jobs")
    assert not [body for body in receiver.raw if SECRET.encode() in body]


def test_a_node_whose_receiver_never_answers_works_and_stops(
    node_factory: NodeFactory, busybox_image: str, tmp_path: Path
) -> None:
    stuck = OtlpReceiver(answers=False)
    try:
        node = node_factory(env=stuck.environment())
        job_file = spec(tmp_path, busybox_image, "echo", "done")
        assert "done" in shell(node, "job", "run", "-f", job_file)
        assert node.stop() == 0
    finally:
        stuck.close()


def test_the_lines_of_a_json_log_name_job_and_execution(
    node_factory: NodeFactory, busybox_image: str, tmp_path: Path
) -> None:
    node = node_factory("-c", "Logging.Mode=json")
    job_id = shell(node, "job", "run", "--id-only", spec(tmp_path, busybox_image, "true")).strip()
    node.stop()
    lines = node.output.read_text(encoding="utf-8").splitlines()
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    (ended,) = [line for line in logged if line["message"].startswith("execution ")]
    assert ended["JobID"] == job_id
    assert ended["ExecutionID"] in ended["message"]


def test_a_trace_header_that_says_nothing_is_no_reason_to_refuse_a_job(node: ServedNode) -> None:
    for header in ("nonsense", CALLER, "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "x" * 5_000):
        task = {"Name": "main", "Engine": {"Type": "noop", "Params": {}}}
        request = urllib.request.Request(
            node.url + JOBS,
            method="PUT",
            data=json.dumps({"Job": {"Type": "batch", "Count": 1, "Tasks": [task]}}).encode(),
            headers={
                "Authorization": f"Bearer {node.key}",
                "Content-Type": "application/json",
                "traceparent": header,
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            job_id = json.loads(answer.read())["JobID"]
        described = shell(node, "job", "describe", job_id, "--output", "json")
        assert ("traceparent" in described) == (header == CALLER)
