"""The submission record: which cell, or directory of a shell, submitted which job; kept in the user's repo directory.

Kernels write it, the Jupyter server reads it: it is how a cell whose output was never saved gets its job back, and how
the panel finds the cell of a job. It stays on this machine; a cluster gets a keyed hash of the notebook's path. What a
job's metadata says is never believed instead: anybody may have written that.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

from bacalhau_jupyter.config.lines import LineFile

if TYPE_CHECKING:
    from bacalhau_jupyter.config.repo import Repo


class Submission(msgspec.Struct, frozen=True, omit_defaults=True):
    """One job that a cell submitted.

    Attributes
    ----------
    job_id, endpoint
        The job, and the address of its cluster.
    notebook
        Path of the notebook on the machine of the kernel.
    directory
        Directory of the shell that submitted the job; empty for a cell.
    cell
        The cell's id; empty in a notebook without ids.
    run
        Names one run of the cell, which may submit several jobs.
    kernel
        Jupyter's id of the kernel.
    time_ns
        When, in Unix nanoseconds.
    title
        What a person calls the job.
    group, what, label
        For a job of a sweep or a map: the value of the label that its jobs share, what they are called, and what
        distinguishes this one.
    """

    job_id: str
    endpoint: str = ""
    notebook: str = ""
    cell: str = ""
    run: str = ""
    kernel: str = ""
    time_ns: int = 0
    directory: str = ""
    title: str = ""
    group: str = ""
    what: str = ""
    label: str = ""


class Submissions:
    """The record of one repo directory. Any number of processes may write it.

    Parameters
    ----------
    repo
        The directory.
    """

    def __init__(self, repo: Repo) -> None:
        self._file = LineFile(repo, "submissions.jsonl", Submission)

    def add(self, submission: Submission) -> None:
        """Append a submission; the oldest ones go when there are many.

        Raises
        ------
        IOFailure
            The submission is too long, or the record can't be written.
        """
        self._file.add(submission)

    def every(self) -> list[Submission]:
        """Return what is recorded, the oldest first; lines that can't be read are left out."""
        return self._file.every()

    def last(self, endpoint: str, *, notebook: str = "", directory: str = "") -> str:
        """Return the last job of a notebook, or of a shell's directory; empty without one.

        Jobs of the cluster at ``endpoint`` come first; a node of this machine may have got another address since.
        """
        own = [each for each in self.every() if (each.notebook, each.directory) == (notebook, directory)]
        there = [each for each in own if each.endpoint == endpoint]
        return (there or own)[-1].job_id if own else ""


def hidden_name(key: bytes, text: str) -> str:
    """Return a name for a text that only who knows the key can find again: 32 hex digits."""
    return hmac.new(key, text.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:32]
