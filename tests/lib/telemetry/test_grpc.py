"""The same by gRPC, where the package is installed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bacalhau_jupyter.lib.telemetry.base import Span
from bacalhau_jupyter.lib.telemetry.start import telemetry_of
from bacalhau_jupyter.lib.telemetry.trace import Link

grpc = pytest.importorskip("grpc", reason="grpcio is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc", reason="the exporter for gRPC is not installed")


def test_traces_and_figures_go_by_grpc_where_the_protocol_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as figures
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as figures_grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces_grpc

    names: list[str] = []

    class Traces(traces_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            scopes = [scope for group in request.resource_spans for scope in group.scope_spans]
            names.extend(span.name for scope in scopes for span in scope.spans)
            return traces.ExportTraceServiceResponse()

    class Figures(figures_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            scopes = [scope for group in request.resource_metrics for scope in group.scope_metrics]
            names.extend(metric.name for scope in scopes for metric in scope.metrics)
            return figures.ExportMetricsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    traces_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    figures_grpc.add_MetricsServiceServicer_to_server(Figures(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        # On a busy machine, what is left takes longer than a node would wait for.
        monkeypatch.setattr("bacalhau_jupyter.lib.telemetry.otlp.CLOSE_S", 60.0)
        telemetry = telemetry_of(variables, "1")
        telemetry.span(Span("work", Link(1, 2), None, 10, 20))
        telemetry.count("jobs_received")
        telemetry.close()
    finally:
        server.stop(None).wait(60)
    assert sorted(names) == ["jobs_received", "work"]
