"""Bids, capacity, the execution state machine, logs and host probes."""

COMPONENT = "Compute"
"""Named in the errors of this room (`models.errors`)."""
