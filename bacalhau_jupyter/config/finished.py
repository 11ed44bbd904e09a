"""Jobs that may answer for equal ones: kept in the user's repo directory, by a keyed hash of what they were.

Only what this user submitted from here counts. A cluster learns nothing of it, and nothing that it says (a label, a
job's metadata) can put another job's results in the place of one's own.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

import msgspec

from bacalhau_jupyter.config.lines import LineFile

if TYPE_CHECKING:
    from bacalhau_jupyter.config.repo import Repo


class FinishedJob(msgspec.Struct, frozen=True):
    """A job that was submitted with its identity.

    Attributes
    ----------
    key
        The keyed hash of its identity.
    job_id
        The job.
    time_ns
        When it was submitted, in Unix nanoseconds.
    version
        Which version of the job it was: a later one has the same ID, and other results.
    """

    key: str
    job_id: str
    time_ns: int = 0
    version: int = 1


class FinishedJobs:
    """The record of one repo directory.

    Parameters
    ----------
    repo
        The directory.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._file = LineFile(repo, "finished.jsonl", FinishedJob)

    def key_of(self, identity: bytes) -> str:
        """Return the key of an identity, which may hold secrets: nobody else can try out what it was."""
        return hmac.new(self._repo.origin_key(), b"cache\0" + identity, hashlib.sha256).hexdigest()

    def add(self, job: FinishedJob) -> None:
        """Append a job; the oldest ones go when there are many.

        Raises
        ------
        IOFailure
            The record can't be written.
        """
        self._file.add(job)

    def of(self, key: str) -> list[FinishedJob]:
        """Return the jobs with a key, the newest first."""
        return [job for job in reversed(self._file.every()) if hmac.compare_digest(job.key, key)]
