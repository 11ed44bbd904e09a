"""What the standard variables ask for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

HTTP, GRPC = "http/protobuf", "grpc"
_TRUE = ("1", "true", "yes", "on")
_KINDS = ("TRACES", "METRICS")


@dataclass(frozen=True)
class Choice:
    """Which protocol each kind is sent by; empty: not sent.

    Attributes
    ----------
    problems
        What was asked for and can't be done, a sentence each.
    """

    traces: str = ""
    metrics: str = ""
    problems: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether anything is sent."""
        return bool(self.traces or self.metrics)


def chosen(environ: Mapping[str, str]) -> Choice:
    """Read the variables, as the specification of OpenTelemetry has them; an empty one counts as absent.

    Off, whatever else is set: ``DO_NOT_TRACK`` and ``OTEL_SDK_DISABLED``.
    """
    if _is_true(environ, "DO_NOT_TRACK") or _is_true(environ, "OTEL_SDK_DISABLED"):
        return Choice()
    protocols, problems = {}, []
    for kind in _KINDS:
        exporter = environ.get(f"OTEL_{kind}_EXPORTER", "").strip().lower()
        has_endpoint = any(
            environ.get(name, "").strip()
            for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{kind}_ENDPOINT")
        )
        if exporter == "none" or not (has_endpoint or exporter):
            continue
        if "otlp" not in exporter.split(",") and exporter:
            problems.append(f"OTEL_{kind}_EXPORTER={exporter} is not supported: this node sends otlp or none")
            continue
        protocol = (
            environ.get(f"OTEL_EXPORTER_OTLP_{kind}_PROTOCOL", "").strip()
            or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip()
            or HTTP
        )
        if protocol not in (HTTP, GRPC):
            what = kind.lower()
            problems.append(f"unknown or unsupported OTLP protocol: {protocol}. No {what} will be exported")
            continue
        protocols[kind] = protocol
    return Choice(protocols.get("TRACES", ""), protocols.get("METRICS", ""), tuple(problems))


def _is_true(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").strip().lower() in _TRUE
