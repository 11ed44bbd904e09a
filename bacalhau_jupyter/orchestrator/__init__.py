"""Orchestrator: store, evaluation broker, schedulers, planner, node membership."""

COMPONENT = "JobStore"
"""Named in the errors of this room (`models.errors`)."""
