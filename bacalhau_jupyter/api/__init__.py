"""Bacalhau's HTTP API: thin handlers over the orchestrator service."""

COMPONENT = "APIServer"
"""Named in the errors of this room (`models.errors`)."""
