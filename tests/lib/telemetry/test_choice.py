"""Which variables switch telemetry on and off."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.lib.telemetry.choice import Choice, chosen

HERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
BOTH = Choice("http/protobuf", "http/protobuf")


@pytest.mark.parametrize(
    ("environ", "choice"),
    [
        ({}, Choice()),
        (HERE, BOTH),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, Choice()),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x"}, Choice(traces="http/protobuf")),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x"}, Choice(metrics="http/protobuf")),
        (HERE | {"OTEL_TRACES_EXPORTER": "none"}, Choice(metrics="http/protobuf")),
        (HERE | {"OTEL_METRICS_EXPORTER": "none"}, Choice(traces="http/protobuf")),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, Choice(traces="http/protobuf")),
        (HERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, Choice("grpc", "grpc")),
        (
            HERE
            | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            Choice("http/protobuf", "grpc"),
        ),
        (HERE | {"DO_NOT_TRACK": "1"}, Choice()),
        (HERE | {"DO_NOT_TRACK": "true"}, Choice()),
        (HERE | {"DO_NOT_TRACK": "0"}, BOTH),
        (HERE | {"OTEL_SDK_DISABLED": "TRUE"}, Choice()),
        (HERE | {"OTEL_SDK_DISABLED": "false"}, BOTH),
    ],
)
def test_the_standard_variables_say_what_is_sent(environ: dict[str, str], choice: Choice) -> None:
    assert chosen(environ) == choice


def test_a_protocol_that_is_not_supported_is_said_in_the_official_words() -> None:
    choice = chosen(HERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_METRICS_EXPORTER": "none"})
    assert not choice.any
    assert choice.problems == ("unknown or unsupported OTLP protocol: http/json. No traces will be exported",)


def test_another_exporter_is_named() -> None:
    choice = chosen(HERE | {"OTEL_TRACES_EXPORTER": "zipkin"})
    assert choice.metrics
    assert not choice.traces
    assert "OTEL_TRACES_EXPORTER=zipkin" in choice.problems[0]
