"""Inputs and answers of engines, sources and publishers: availability, bids, mounts, progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.lib.beneath import FileId
from bacalhau_jupyter.models.records.progress import Progress as Progress
from bacalhau_jupyter.models.records.progress import Reading as Reading
from bacalhau_jupyter.models.records.progress import no_progress as no_progress


@dataclass(frozen=True)
class Availability:
    """Whether an engine, source or publisher can work on this node.

    ``runtime`` names what does the work ("Docker Engine 27.1", "bubblewrap 0.11.0"); ``problem`` is one
    sentence saying why it can't (shown in node info and in bid rejections); ``may_change`` says that asking again
    may bring another answer, also where it works already: something better may do the work later.
    """

    available: bool
    runtime: str = ""
    problem: str = ""
    may_change: bool = False


@dataclass(frozen=True)
class Bid:
    """Whether this node would run an execution.

    Attributes
    ----------
    reason
        Why it would not, starting "this node …".
    note
        What accepting means, where people want to know: "the image … will be copied from this machine (253 MB)".
    busy
        Whether the same offer may be accepted later: the job can wait.
    """

    accepted: bool
    reason: str = ""
    note: str = ""
    busy: bool = False


ACCEPTED = Bid(accepted=True)


@dataclass(frozen=True)
class InputMount:
    """An input on this host's disk and where the task sees it (absolute ``target``).

    Attributes
    ----------
    identity
        Which bytes these are (`plugins.source.IdentifyingSource`), where the source knows better than when it
        was asked.
    checked
        Which object (device, inode) was found at ``path``, a real path without links; engines mount this one or
        nothing. None: not checked yet.
    jobs_write
        Whether some job of this node may write to the path, or to a directory above it.
    settled
        Whether the node itself made it so that every user may read all of it, and nobody changes it: then nothing in it
        has to be looked at.
    """

    path: Path
    target: str
    read_only: bool = True
    identity: str = ""
    checked: FileId | None = field(default=None, compare=False)
    jobs_write: bool = field(default=False, compare=False)
    settled: bool = field(default=False, compare=False)


@dataclass(frozen=True)
class OutputMount:
    """A result directory on this host's disk and where the task writes it (absolute ``target``)."""

    name: str
    path: Path
    target: str
