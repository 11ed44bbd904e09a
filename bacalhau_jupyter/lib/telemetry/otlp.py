"""Telemetry by OpenTelemetry's SDK; imported only where a receiver is named.

The SDK sends on threads of its own and drops what a receiver does not take. Spans come here when they are over, with
IDs that were chosen before: so the parts of a job's trace need not know each other, and a restart does not cut it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision

from bacalhau_jupyter.lib.telemetry.base import Attributes, Kind, Readings, Span
from bacalhau_jupyter.lib.telemetry.choice import GRPC, Choice
from bacalhau_jupyter.lib.telemetry.instruments import INSTRUMENTS
from bacalhau_jupyter.lib.telemetry.trace import Link

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

_log = logging.getLogger(__name__)

CLOSE_S = 2.0
"""Seconds that `Otlp.close` waits for the receiver."""
QUIET_S = 60.0
"""Seconds in which the SDK may complain once."""

_KINDS = {
    Kind.INTERNAL: otel.SpanKind.INTERNAL,
    Kind.SERVER: otel.SpanKind.SERVER,
    Kind.CLIENT: otel.SpanKind.CLIENT,
}


class Otlp:
    """Sends traces and metrics by OTLP. Any thread may use it.

    Parameters
    ----------
    choice
        What is sent, and how.
    version
        Of this software.
    """

    def __init__(self, choice: Choice, version: str) -> None:
        _calm()
        resource = _resource(version)
        self._ids = _ChosenIds()
        self._lock = threading.Lock()
        self._tracers: TracerProvider | None = None
        self._meters: MeterProvider | None = None
        self._made: dict[str, Any] = {}
        self._end = threading.Event()
        self._ended = threading.Event()
        if choice.traces:
            self._tracers = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
            self._tracers.add_span_processor(BatchSpanProcessor(_span_exporter(choice.traces)))
            self._tracer = self._tracers.get_tracer("bacalhau")
        if choice.metrics:
            reader = PeriodicExportingMetricReader(_metric_exporter(choice.metrics))
            self._meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        # Made now: an interpreter that ends starts no thread any more.
        threading.Thread(target=self._finish, name="telemetry end", daemon=True).start()

    @property
    def traces(self) -> bool:
        """Whether spans are sent."""
        return self._tracers is not None

    @property
    def metrics(self) -> bool:
        """Whether figures are sent."""
        return self._meters is not None

    def samples(self, trace_id: int) -> bool:
        """Ask the sampler (``OTEL_TRACES_SAMPLER``) for a trace that begins here."""
        if self._tracers is None:
            return False
        decision = self._tracers.sampler.should_sample(None, trace_id, "").decision
        return decision is Decision.RECORD_AND_SAMPLE

    def span(self, span: Span) -> None:
        """Queue a span."""
        if self._tracers is None or not span.link.sampled:
            return
        with self._lock:
            self._ids.link = span.link
            made = self._tracer.start_span(
                span.name,
                # An empty context: what the user's own code traces is not ours.
                otel.set_span_in_context(_remote(span.parent), Context()),
                kind=_KINDS[span.kind],
                attributes=dict(span.attributes),
                start_time=span.start_ns,
            )
        if span.error:
            made.set_attribute("error.type", span.error)
            made.set_status(otel.StatusCode.ERROR)
        made.end(end_time=max(span.start_ns, span.end_ns))

    def count(self, name: str, amount: int = 1, attributes: Attributes | None = None) -> None:
        """Add to a counter."""
        if self._meters is not None:
            self._instrument(name).add(amount, attributes)

    def measure(self, name: str, value: float, attributes: Attributes | None = None) -> None:
        """Put a value into a histogram."""
        if self._meters is not None:
            self._instrument(name).record(value, attributes)

    def observe(self, name: str, readings: Readings) -> None:
        """Ask for values whenever they are sent."""
        if self._meters is None:
            return

        def read(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, attributes) for value, attributes in readings()]

        row = INSTRUMENTS[name]
        meter = self._meters.get_meter(row.scope)
        meter.create_observable_up_down_counter(name, [read], row.unit, row.description)

    def close(self) -> None:
        """Send what is left for `CLOSE_S` seconds at most."""
        self._end.set()
        if not self._ended.wait(CLOSE_S):
            _log.warning("the receiver of traces and metrics does not answer: the last of them are dropped")

    def _finish(self) -> None:
        self._end.wait()
        try:
            for provider in (self._tracers, self._meters):
                if provider is not None:
                    provider.shutdown()
        except Exception as error:
            _log.debug("telemetry did not end well: %s", error)
        self._ended.set()

    def _instrument(self, name: str) -> Any:
        made = self._made.get(name)
        if made is None:
            row = INSTRUMENTS[name]
            assert self._meters is not None
            meter = self._meters.get_meter(row.scope)
            if row.form == "histogram":
                made = meter.create_histogram(
                    name, row.unit, row.description, explicit_bucket_boundaries_advisory=row.bounds or None
                )
            elif row.form == "level":
                made = meter.create_up_down_counter(name, row.unit, row.description)
            else:
                made = meter.create_counter(name, row.unit, row.description)
            self._made[name] = made
        return made


class _ChosenIds(IdGenerator):
    """Gives a span the IDs that were chosen for it."""

    link = Link(1, 1)

    def generate_span_id(self) -> int:
        return self.link.span_id

    def generate_trace_id(self) -> int:
        return self.link.trace_id


class _Seldom(logging.Filter):
    """Lets a message through once in a while: a receiver that is away is one fact, not one per batch."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg))
        now = time.monotonic()
        if now - self._last.get(key, -QUIET_S) < QUIET_S:
            return False
        self._last[key] = now
        # A traceback through the SDK tells nobody more.
        record.exc_info = None
        return True


def _calm() -> None:
    # Filters hold for the logger they are on and not for those below, so all that send get one.
    for name in (
        "opentelemetry.sdk._shared_internal",
        "opentelemetry.sdk.metrics._internal.export",
        "opentelemetry.exporter.otlp.common.http",
        "opentelemetry.exporter.otlp.proto.http.trace_exporter",
        "opentelemetry.exporter.otlp.proto.http.metric_exporter",
        "opentelemetry.exporter.otlp.proto.grpc.exporter",
    ):
        logger = logging.getLogger(name)
        if not any(isinstance(each, _Seldom) for each in logger.filters):
            logger.addFilter(_Seldom())


def _resource(version: str) -> Resource:
    own = {"service.version": version}
    named = "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").replace(" ", "")
    if not (named or os.environ.get("OTEL_SERVICE_NAME")):
        own["service.name"] = "bacalhau"
    return Resource.create(own)


def _remote(link: Link | None) -> otel.Span:
    if link is None:
        return otel.INVALID_SPAN
    flags = otel.TraceFlags(otel.TraceFlags.SAMPLED if link.sampled else otel.TraceFlags.DEFAULT)
    return otel.NonRecordingSpan(
        otel.SpanContext(link.trace_id, link.span_id, is_remote=True, trace_flags=flags)
    )


def _span_exporter(protocol: str) -> SpanExporter:
    if protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter

        return GrpcSpanExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    from bacalhau_jupyter.lib.telemetry.answers import session

    return OTLPSpanExporter(session=session())


def _metric_exporter(protocol: str) -> MetricExporter:
    if protocol == GRPC:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
            OTLPMetricExporter as GrpcMetricExporter,
        )

        return GrpcMetricExporter()
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    from bacalhau_jupyter.lib.telemetry.answers import session

    return OTLPMetricExporter(session=session())
