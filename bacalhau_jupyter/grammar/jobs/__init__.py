"""``job …`` and ``attach``: submit, inspect, fetch and stop jobs."""

from __future__ import annotations

from bacalhau_jupyter.grammar.jobs import fetching, listing, running
from bacalhau_jupyter.grammar.jobs.group import job

__all__ = ["fetching", "job", "listing", "running"]
