"""Traces and metrics for an OpenTelemetry receiver; nothing of it is imported where no receiver is named."""
