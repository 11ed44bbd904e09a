"""Telemetry that is off costs nothing; a receiver that is away costs nobody anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bacalhau_jupyter.lib.telemetry.base import SILENT, Kind, Span, spanning
from bacalhau_jupyter.lib.telemetry.start import telemetry_of
from bacalhau_jupyter.lib.telemetry.trace import Link
from tests.services.otlp import OtlpReceiver

LINK = Link(0xABC, 0xDEF)


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    """A receiver that answers."""
    running = OtlpReceiver()
    yield running
    running.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is left arrives, also at a receiver that gets no processor for a while."""
    monkeypatch.setattr("bacalhau_jupyter.lib.telemetry.otlp.CLOSE_S", 60.0)


def environment(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, **more: str) -> dict[str, str]:
    """Set the variables for this process, whose SDK reads them itself."""
    variables = receiver.environment() | more
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


def loaded(code: str, **variables: str) -> list[str]:
    """Return which modules of the SDK a fresh interpreter has after some code."""
    report = (
        "; import json, sys; print(json.dumps([m for m in sys.modules if m.startswith('opentelemetry')]))"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        env=kept | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return list(json.loads(done.stdout))


PROCESS = (
    "import os, bacalhau_jupyter.node.run, bacalhau_jupyter.cli.main, bacalhau_jupyter.notebook.magics; "
    "from bacalhau_jupyter.lib.telemetry import start; "
    "start.telemetry_of(os.environ, '1'); start.telemetry_of_client()"
)


def test_without_the_variables_nothing_of_the_sdk_is_imported() -> None:
    assert loaded(PROCESS) == []


def test_who_does_not_want_to_be_tracked_has_nothing_imported() -> None:
    assert loaded(PROCESS, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", DO_NOT_TRACK="1") == []


def test_with_the_variables_the_sdk_is_imported() -> None:
    assert "opentelemetry.sdk" in loaded(PROCESS, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")


def test_a_missing_package_is_said_and_nothing_else_happens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "bacalhau_jupyter.lib.telemetry.otlp", None)
    assert telemetry_of({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, "1") is SILENT
    assert "pip install 'bacalhau-jupyter[otel]'" in caplog.text


@pytest.mark.usefixtures("patient")
def test_a_span_arrives_with_the_ids_that_were_chosen_for_it(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = telemetry_of(environment(receiver, monkeypatch), "1.2.3")
    parent = Link(LINK.trace_id, 0x123)
    telemetry.span(Span("work", LINK, parent, 10, 20, {"jobid": "j"}, kind=Kind.SERVER, error="boom"))
    telemetry.close()
    (span,) = receiver.spans
    assert (int(span.trace, 16), int(span.id, 16), int(span.parent, 16)) == (0xABC, 0xDEF, 0x123)
    assert span.is_error
    assert span.attributes == {"jobid": "j", "error.type": "boom"}
    assert span.resource["service.name"] == "bacalhau"
    assert span.resource["service.version"] == "1.2.3"


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "variables", [{"OTEL_SERVICE_NAME": "mine"}, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=mine,zone=b"}]
)
def test_the_receiver_sees_the_name_that_the_owner_gave(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    telemetry = telemetry_of(environment(receiver, monkeypatch, **variables), "1")
    telemetry.span(Span("work", LINK, None, 10, 20))
    telemetry.close()
    assert receiver.spans[0].resource["service.name"] == "mine"


@pytest.mark.usefixtures("patient")
def test_a_sampler_that_takes_nothing_is_heeded(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = telemetry_of(environment(receiver, monkeypatch, OTEL_TRACES_SAMPLER="always_off"), "1")
    with spanning(telemetry, "cell"):
        pass
    telemetry.count("jobs_received")
    telemetry.close()
    assert receiver.spans == []
    assert receiver.metrics["jobs_received"].points == [({}, 1.0)]


@pytest.mark.usefixtures("patient")
def test_spans_within_each_other_are_one_trace(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    telemetry = telemetry_of(environment(receiver, monkeypatch), "1")
    with spanning(telemetry, "outer"), pytest.raises(ValueError, match="no"), spanning(telemetry, "inner"):
        raise ValueError("no: token=secret")
    telemetry.close()
    (outer,), (inner,) = receiver.named("outer"), receiver.named("inner")
    assert (inner.trace, inner.parent) == (outer.trace, outer.id)
    assert inner.attributes["error.type"] == "ValueError"
    assert not any(b"secret" in body for body in receiver.raw)


# The SDK itself would wait for 36 s.
@pytest.mark.timeout(34)
@pytest.mark.parametrize("kind", ["nobody listens", "it never answers"])
def test_a_receiver_that_is_away_keeps_nobody_waiting(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = OtlpReceiver(answers=False)
    if kind == "nobody listens":
        stuck.close()
    try:
        telemetry = telemetry_of(environment(stuck, monkeypatch, OTEL_BSP_MAX_QUEUE_SIZE="512"), "1")
        for number in range(2_000):
            telemetry.span(Span("work", Link(1, number + 1), None, 10, 20))
            telemetry.count("jobs_received")
        telemetry.close()
    finally:
        if kind != "nobody listens":
            stuck.close()
