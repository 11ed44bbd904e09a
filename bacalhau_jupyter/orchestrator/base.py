"""What can be asked of the orchestrator: filters of its lists and streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.models.jobs.spec import SpecConfig


@dataclass(frozen=True)
class JobQuery:
    """Filter of a job list. ``limit`` 0 means all; a token overrides order and limit."""

    namespace: str = ""
    labels: Sequence[str] = ()
    limit: int = 0
    next_token: str = ""
    order_by: str = ""
    reverse: bool = False


@dataclass(frozen=True)
class HistoryQuery:
    """Filter of a job's history. ``since`` in Unix seconds; ``version`` 0 means the latest."""

    namespace: str = ""
    version: int = 0
    all_versions: bool = False
    since: int = 0
    event_type: str = ""
    execution_id: str = ""
    limit: int = 0
    next_token: str = ""


@dataclass(frozen=True)
class ExecutionQuery:
    """Filter of a job's executions."""

    namespace: str = ""
    version: int = 0
    all_versions: bool = False
    order_by: str = ""
    reverse: bool = False
    limit: int = 0


@dataclass(frozen=True)
class LogQuery:
    """Which log stream: ``tail`` only new lines, ``follow`` until the execution ends."""

    namespace: str = ""
    execution_id: str = ""
    version: int = 0
    tail: bool = False
    follow: bool = False


@dataclass(frozen=True)
class NodeQuery:
    """Filter of the node list."""

    labels: Sequence[str] = ()
    limit: int = 0
    order_by: str = ""
    reverse: bool = False
    approval: str = ""
    status: str = ""


ResultSigner = Callable[[SpecConfig], SpecConfig]
"""Turns a stored result reference into what the caller can download (signed URL for ``local``)."""
