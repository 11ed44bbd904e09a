"""What a receiver of traces may do to who sends them: real HTTP, and real exporters of the SDK."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from bacalhau_jupyter.lib.telemetry.answers import LIMIT, BoundedSession, session
from bacalhau_jupyter.lib.telemetry.otlp import _metric_exporter, _span_exporter

HUGE = 256 * 1024 * 1024


class Receiver(http.server.BaseHTTPRequestHandler):
    """Sends `HUGE` bytes, or elsewhere; counts what is taken of it and who comes there."""

    taken = 0
    elsewhere = 0
    has_sent = threading.Event()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/elsewhere":
            Receiver.elsewhere += 1
        if self.path == "/redirect":
            self.send_response(307)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(HUGE // 65536):
                self.wfile.write(bytes(65536))
                Receiver.taken += 65536
        Receiver.has_sent.set()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    Receiver.taken = Receiver.elsewhere = 0
    Receiver.has_sent.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_an_answer_without_end_is_read_to_its_first_bytes(url: str) -> None:
    answer = BoundedSession().post(url, data=b"x", timeout=20)
    assert answer.ok
    assert len(answer.content) == LIMIT


@pytest.mark.parametrize("signal", ["traces", "metrics"])
def test_the_exporters_take_no_more_of_it(url: str, signal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    if signal == "traces":
        _span_exporter("http/protobuf").export([])
    else:
        from opentelemetry.sdk.metrics.export import MetricsData

        _metric_exporter("http/protobuf").export(MetricsData(resource_metrics=[]))
    assert Receiver.has_sent.wait(60)
    # What the buffers of both sides hold is gone, too.
    assert 0 < Receiver.taken < HUGE // 4


def test_the_headers_for_a_receiver_go_nowhere_else(url: str) -> None:
    answer = BoundedSession().post(f"{url}/redirect", headers={"x-key": "secret"}, timeout=20)
    assert answer.status_code == 307
    assert Receiver.elsewhere == 0


def test_a_session_of_the_users_own_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert session() is not None
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "mine")
    assert session() is None
