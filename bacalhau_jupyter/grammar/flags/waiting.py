"""Flags that say what happens after the submission."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from bacalhau_jupyter.grammar.flags.types import SECONDS

F = TypeVar("F", bound=Callable[..., Any])

WAIT_FLAGS = ("wait", "follow", "id_only", "dry_run", "exact", "check")
"""Values of `wait_options`."""

PROGRESS_FLAGS = ("wait_timeout_secs", "node_details", "group_events")
"""Values of `progress_options`."""


def wait_options(function: F) -> F:
    """Flags of all that submits, cells among it."""
    return _stacked(
        function,
        click.option("--wait/--no-wait", "wait", default=True, help="Wait until the job ends."),
        click.option("-f", "--follow", is_flag=True, help="Show the job's output while it runs."),
        click.option("--id-only", is_flag=True, help="Print only the job ID."),
        click.option("--dry-run", is_flag=True, help="Show the job spec without submitting it."),
        click.option(
            "--exact", is_flag=True, help="With --dry-run: the spec as YAML, with encoded data and secrets."
        ),
        click.option("--check/--no-check", default=None, help="Fail on a non-zero exit code."),
    )


def progress_options(function: F) -> F:
    """Flags of verbs that submit and wait."""
    return _stacked(
        function,
        click.option(
            "--wait-timeout-secs",
            type=SECONDS,
            default=None,
            metavar="DURATION",
            help="Longest time to wait (90, 90s, 10m; 0: no limit); the job itself continues. "
            "In a shell 600 without --follow; else no limit.",
        ),
        click.option("--node-details", is_flag=True, help="At the end, show how each execution ended."),
        click.option("--group-events", is_flag=True, help="At the end, show the events by execution."),
    )


def _stacked(function: F, *options: Callable[[Any], Any]) -> F:
    stacked: Any = function
    for option in reversed(options):
        stacked = option(stacked)
    return cast(F, stacked)
