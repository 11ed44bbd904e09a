"""Finds a finished job that answers for an equal new one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bacalhau_jupyter.client.cache.identity import Surroundings
from bacalhau_jupyter.client.cache.own_links import OwnLink, below, of_nobody, signed_with
from bacalhau_jupyter.client.connection.cluster import Cluster
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.client.jobs.titles import shown_title
from bacalhau_jupyter.client.results.record import took_s
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.config.finished import FinishedJob, FinishedJobs
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, NotFound
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.units import format_duration
from bacalhau_jupyter.models.records.outcome import exit_code_of
from bacalhau_jupyter.models.records.uploads import FEATURE
from bacalhau_jupyter.models.text import readable

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint
    from bacalhau_jupyter.config.repo import Repo

_TRIED = 5
"""How many equal jobs are looked at: those before may be gone, or have failed."""


@dataclass(frozen=True)
class Hit:
    """A job that answers.

    Attributes
    ----------
    job
        Its handle.
    time_ns
        When it was submitted, in Unix nanoseconds.
    record
        Its final record.
    """

    job: Job
    time_ns: int
    record: JobModel

    def words(self, now_ns: int, title: str = "") -> str:
        """Say in one line which job answers, how old it is and how long it took.

        ``title`` is what the cell's own job would be called: another one of the answering job is told.
        """
        age = format_duration((now_ns - self.time_ns) / 1e9)
        took = format_duration(took_s(self.record))
        of_job = readable(shown_title(self.record))
        origin = f" ({of_job})" if of_job not in ("", title) else ""
        return f"from the cache: job {self.job.short_id}{origin}, run {age} ago, took {took}"


class JobCache:
    """The finished jobs of this user on one cluster.

    Parameters
    ----------
    client
        The cluster.
    repo
        The user's repo directory.
    clock
        Tells when a job was submitted.
    """

    def __init__(self, client: Cluster, repo: Repo, clock: Clock | None = None) -> None:
        self._client = client
        self._repo = repo
        self._record = FinishedJobs(repo)
        self._clock = clock or SystemClock()

    def key_of(self, model: JobModel) -> str:
        """Return the key of a job whose inputs have travelled.

        Raises
        ------
        Unidentified
            An input says nothing of its content.
        """
        endpoint = self._client.endpoint
        # An embedded node keeps its jobs in its directory, whatever its port is today.
        cluster = "" if endpoint.embedded else endpoint.url
        around = Surroundings(
            shares_machine=endpoint.embedded, cluster=cluster, own_link=self._own_links(endpoint)
        )
        return self._record.key_of(encode(_sorted(around.identity(model))))

    def _own_links(self, endpoint: Endpoint) -> OwnLink:
        if endpoint.embedded:
            return signed_with(self._repo.signing_key())
        return below(endpoint.url) if FEATURE in self._client.info.features else of_nobody

    def find(self, key: str) -> Hit | None:
        """Return a job with that key that succeeded and whose results are still there."""
        for finished in self._record.of(key)[:_TRIED]:
            try:
                record = self._answering(finished)
                if record is not None:
                    return Hit(Job(self._client, finished.job_id), finished.time_ns, record)
            except BacalhauError:
                # It is gone, or its results are: the job runs anew.
                continue
        return None

    def add(self, key: str, job: Job, *, is_named: bool = False) -> None:
        """Note a job that was just submitted; whether it can answer is seen when it is asked.

        Parameters
        ----------
        is_named
            Whether it has a name: others may have given earlier versions of it, and may give later ones.
        """
        version = job.describe().version if is_named else 1
        self._record.add(FinishedJob(key, job.id, self._clock.now_ns(), version))

    def _answering(self, finished: FinishedJob) -> JobModel | None:
        """Return the record of a job, if it answers.

        Raises
        ------
        BacalhauError
            It is gone, or its results are.
        """
        job_id = finished.job_id
        answer = self._client.call(lambda api: api.get_job(job_id, include="executions"))
        executions = answer.executions.items if answer.executions else []
        if answer.job.id != job_id or answer.job.state.state_type is not JobStateType.COMPLETED:
            return None
        # An official cluster of before there were versions says 0.
        if answer.job.version not in (0, finished.version):
            return None
        if exit_code_of(executions) != 0:
            return None
        result = JobResult(Job(self._client, job_id), answer.job, executions)
        has_results = any(not item.published_result.is_empty for item in executions)
        if answer.job.tasks[0].result_paths and not has_results:
            raise NotFound("its results are gone", component="Cache")
        if has_results:
            # Lists what was published: an archive that was removed can't be opened.
            result.entries(raw=True)
        return answer.job


def _sorted(value: object) -> object:
    """Return the same value with the members of objects in one order."""
    if isinstance(value, dict):
        return {str(name): _sorted(value[name]) for name in sorted(value, key=str)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value
