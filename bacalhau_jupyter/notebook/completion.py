"""TAB after ``%bacalhau`` and ``%%bacalhau``: verbs, flags, their values and job IDs."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from typing import Any

import click

from bacalhau_jupyter.models.errors import BacalhauError

JOB_LIMIT = 20
ANSWER_S = 0.3
"""Seconds a person waits for TAB at most."""


def complete(
    root: click.Command, words: list[str], prefix: str, job_ids: Callable[[], list[str]]
) -> list[str]:
    """Return what may follow.

    Parameters
    ----------
    root
        The grammar.
    words
        Complete words before the cursor.
    prefix
        The word being typed.
    job_ids
        Called for job IDs only where a job is expected.
    """
    context = click.Context(root)
    command: click.Command = root
    rest = list(words)
    while isinstance(command, click.Group) and rest:
        following = command.get_command(context, rest[0])
        if following is None:
            break
        context = click.Context(following, parent=context)
        command = following
        rest.pop(0)
    if isinstance(command, click.Group) and not prefix.startswith("-"):
        return [name for name in command.list_commands(context) if name.startswith(prefix)]
    waiting = _waiting_option(command, rest)
    if waiting is not None:
        choices = waiting.type.choices if isinstance(waiting.type, click.Choice) else []
        return [str(choice) for choice in choices if str(choice).startswith(prefix)]
    if prefix.startswith("-"):
        return sorted(flag for flag in _flags(command) if flag.startswith(prefix))
    if any(isinstance(item, click.Argument) and item.name == "job_id" for item in command.params):
        return [job for job in job_ids() if job.startswith(prefix)]
    return []


def _flags(command: click.Command) -> list[str]:
    flags = [
        flag
        for item in command.params
        if isinstance(item, click.Option)
        for flag in item.opts + item.secondary_opts
    ]
    return [*(flag for flag in flags if flag.startswith("--")), "--help"]


def _waiting_option(command: click.Command, rest: list[str]) -> click.Option | None:
    """Return the option whose value is being typed, if the last word is one."""
    if not rest:
        return None
    for item in command.params:
        if isinstance(item, click.Option) and not item.is_flag and rest[-1] in item.opts:
            return item
    return None


def complete_line(magic: str, line: str, session: Any) -> list[str]:
    """Answer TAB on a line that starts with ``%bacalhau`` or ``%%bacalhau``."""
    from bacalhau_jupyter.grammar import bacalhau
    from bacalhau_jupyter.notebook.cell_grammar import cell

    rest = line.partition(magic)[2]
    prefix = "" if not rest or rest[-1].isspace() else rest.split()[-1]
    before = rest[: len(rest) - len(prefix)]
    try:
        words = shlex.split(before)
    except ValueError:
        words = before.split()
    return complete(
        cell if magic.startswith("%%") else bacalhau, words, prefix, lambda: recent_job_ids(session)
    )


def recent_job_ids(session: Any) -> list[str]:
    """Return short IDs of recent jobs; nothing when the cluster can't be asked quickly. Starts no node."""
    from bacalhau_jupyter.lib.ids import short_id

    client = session.peek()
    if client is None:
        return []
    asked = client.api().list_jobs(limit=JOB_LIMIT, order_by="created_at", reverse=True)
    try:
        page = client.portal.run(asyncio.wait_for(asked, ANSWER_S))
    except (BacalhauError, TimeoutError):
        return []
    return [short_id(job.id) for job in page.items]
