"""A receiver of OpenTelemetry's protocol (http/protobuf) on a loopback port that keeps what it is sent."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

WAIT_S = 60.0


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it arrived; IDs in hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    is_error: bool
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class ReceivedMetric:
    """All points of a figure that arrived last."""

    unit: str
    form: str
    points: list[tuple[dict[str, Any], float]] = field(default_factory=list)


class OtlpReceiver:
    """Listens until it is closed.

    Parameters
    ----------
    answers
        Whether it answers; otherwise it takes requests and keeps them waiting.
    """

    def __init__(self, *, answers: bool = True) -> None:
        self.spans: list[ReceivedSpan] = []
        self.metrics: dict[str, ReceivedMetric] = {}
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._news = threading.Condition()
        self._closed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        self._answers = answers
        self._thread = threading.Thread(target=self._server.serve_forever, name="otlp receiver", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The value of ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self) -> dict[str, str]:
        """Return the variables with which a process sends here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until what arrived is enough."""
        with self._news:
            if not self._news.wait_for(ready, WAIT_S):
                names = sorted({span.name for span in self.spans})
                raise AssertionError(
                    f"{what} did not arrive; spans: {names}; figures: {sorted(self.metrics)}"
                )

    def wait_for_spans(self, names: Iterable[str]) -> None:
        """Wait until spans of all these names are here."""
        expected = set(names)
        self.wait(lambda: expected <= {span.name for span in self.spans}, f"spans {sorted(expected)}")

    def named(self, name: str) -> list[ReceivedSpan]:
        """Return the spans of a name."""
        return [span for span in self.spans if span.name == name]

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(30)

    def take(self, path: str, body: bytes, headers: dict[str, str]) -> bytes | None:
        """Keep a request; return the answer, None for a path that is not the protocol's."""
        if not self._answers:
            self._closed.wait(WAIT_S)
        with self._news:
            self.raw.append(body)
            self.headers.append(headers)
            answer: bytes | None = None
            if path == "/v1/traces":
                self._traces(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
            elif path == "/v1/metrics":
                self._metrics(ExportMetricsServiceRequest.FromString(body))
                answer = ExportMetricsServiceResponse().SerializeToString()
            self._news.notify_all()
        return answer

    def _traces(self, request: Any) -> None:
        for group in request.resource_spans:
            resource = _plain(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [
                    ReceivedSpan(
                        name=span.name,
                        trace=span.trace_id.hex(),
                        id=span.span_id.hex(),
                        parent=span.parent_span_id.hex(),
                        kind=span.kind,
                        is_error=span.status.code == 2,
                        attributes=_plain(span.attributes),
                        resource=resource,
                    )
                    for span in scope.spans
                ]

    def _metrics(self, request: Any) -> None:
        for group in request.resource_metrics:
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    form = metric.WhichOneof("data")
                    points = getattr(metric, form).data_points
                    self.metrics[metric.name] = ReceivedMetric(
                        metric.unit,
                        form,
                        [(_plain(point.attributes), _value(form, point)) for point in points],
                    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: OtlpReceiver


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        answer = self.server.receiver.take(self.path, body, dict(self.headers.items()))
        self.close_connection = True
        self.send_response(404 if answer is None else 200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer or b"")))
        self.end_headers()
        self.wfile.write(answer or b"")


def _plain(attributes: Sequence[Any]) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


def _value(form: str, point: Any) -> float:
    return float(point.count if form == "histogram" else getattr(point, point.WhichOneof("value")))
