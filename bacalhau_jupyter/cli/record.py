"""The last job that a shell submitted from a directory, in the record of submissions of the repo directory."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.config.submissions import Submission, Submissions
from bacalhau_jupyter.models.errors import BacalhauError

if TYPE_CHECKING:
    from bacalhau_jupyter.client.jobs.job import Job


def note(job: Job) -> None:
    """Write a job that was just submitted into the record; a record that can't be written costs no job."""
    with contextlib.suppress(BacalhauError, OSError):
        Submissions(Repo.locate()).add(
            Submission(
                job_id=job.id,
                endpoint=job.client.endpoint.url,
                directory=_here(),
                time_ns=time.time_ns(),
            )
        )


def last_job_id(endpoint: str) -> str:
    """Return the last job that was submitted from this directory to a cluster; empty without one."""
    with contextlib.suppress(BacalhauError, OSError):
        return Submissions(Repo.locate()).last(endpoint, directory=_here())
    return ""


def _here() -> str:
    return str(Path.cwd()).encode(errors="surrogateescape").decode(errors="backslashreplace")
