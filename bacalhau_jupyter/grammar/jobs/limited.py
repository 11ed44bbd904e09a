"""``--wait-timeout-secs``: a job that is watched for a limited time."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.client.jobs.watch import Update
from bacalhau_jupyter.models.errors import TimedOut


class LimitedJob(Job):
    """A job whose watchers hear that they waited long enough; the job itself continues.

    Parameters
    ----------
    job
        The job.
    limit_s
        Seconds from now.
    """

    def __init__(self, job: Job, limit_s: float) -> None:
        super().__init__(job.client, job.id)
        self._limit_s = limit_s
        self._end = time.monotonic() + limit_s

    def updates_or_idle(self, *, logs: bool = True) -> Iterator[Update | None]:
        """Do what a `Job` does, up to the limit.

        Raises
        ------
        TimedOut
            The job is not over by then.
        """
        for update in super().updates_or_idle(logs=logs):
            if time.monotonic() >= self._end:
                raise TimedOut(
                    f"job {self.short_id} is not over after {self._limit_s:g} s; it continues",
                    hint=f"%bacalhau attach {self.short_id} follows it again",
                    component="Job",
                )
            yield update
