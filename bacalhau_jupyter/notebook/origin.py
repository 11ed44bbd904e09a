"""Where a job is submitted: the notebook and the cell, as far as Jupyter tells its kernel.

The whole answer goes into the submission record of the repo directory. The cluster, whose other users may read a job's
metadata, gets the cell's id and a keyed hash of the notebook's path.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.config.submissions import Submission, Submissions, hidden_name
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.spec import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bacalhau_jupyter.client.jobs.job import Job
    from bacalhau_jupyter.client.jobs.standing import Standing, Standings
    from bacalhau_jupyter.models.jobs.job import Job as JobModel

SESSION, CELL = "jupyter.org/session", "jupyter.org/cell"
"""Meta keys."""

_LONGEST = 200
_LONGEST_PATH = 4096
_KERNEL_FILE = re.compile(r"kernel-([0-9a-zA-Z-]{1,64})\.json")


class CellOrigin:
    """Notes where jobs come from.

    Parameters
    ----------
    shell
        The shell; a kernel's tells the running cell.
    repo
        Where the record is kept; default: the repo directory of this kernel.
    clock
        Tells when a job was submitted.
    """

    def __init__(self, shell: Any, repo: Repo | None = None, clock: Clock | None = None) -> None:
        self._shell = shell
        self._repo = repo
        self._clock = clock or SystemClock()

    @property
    def repo(self) -> Repo:
        """Where the record is kept."""
        return self._repo or Repo.locate()

    def on(self, job: JobModel) -> JobModel:
        """Return the job with what the cluster may know of its origin; unchanged where nothing is known."""
        meta = {CELL: self._cell()} if self._cell() else {}
        if notebook := notebook_path():
            # A job is worth more than its way back to a cell.
            with contextlib.suppress(BacalhauError):
                meta[SESSION] = hidden_name(self.repo.origin_key(), notebook)
        return replace(job, meta={**job.meta, **meta}) if meta else job

    def note(self, job: Job, title: str = "") -> None:
        """Write a job that was just submitted into the record; a record that can't be written costs no job.

        Parameters
        ----------
        job
            The job.
        title
            What a person calls it.
        """
        self._add([self._submission(job.id, job.client.endpoint.url, title=title[:_LONGEST])])

    def note_group(self, standings: Standings, jobs: Sequence[Standing]) -> None:
        """Write jobs of one group that were just submitted into the record.

        Parameters
        ----------
        standings
            The group.
        jobs
            Those of its jobs that are new.
        """
        of_group = {"group": standings.group, "what": standings.what}
        self._add(
            self._submission(one.job_id, standings.endpoint, **of_group, label=one.label[:_LONGEST])
            for one in jobs
        )

    def _submission(self, job_id: str, endpoint: str, **described: str) -> Submission:
        return Submission(
            job_id=job_id,
            endpoint=endpoint,
            notebook=notebook_path(),
            cell=self._cell(),
            run=_plain((self._parent().get("header") or {}).get("msg_id")),
            kernel=self._kernel_id(),
            time_ns=self._clock.now_ns(),
            **described,
        )

    def _add(self, submissions: Iterable[Submission]) -> None:
        if not notebook_path():
            return
        with contextlib.suppress(BacalhauError):
            record = Submissions(self.repo)
            for submission in submissions:
                record.add(submission)

    def last_job_id(self, endpoint: str) -> str:
        """Return the last job of this notebook that the record has for a cluster; empty without one."""
        notebook = notebook_path()
        with contextlib.suppress(BacalhauError):
            return Submissions(self.repo).last(endpoint, notebook=notebook) if notebook else ""
        return ""

    def first_line(self, body: str) -> int:
        """Return the number of a body's first line in its cell, as a front end counts: the magic's is usually 1."""
        code = (self._parent().get("content") or {}).get("code", "")
        text = body.rstrip()
        if not isinstance(code, str) or not text or not code.rstrip().endswith(text):
            return 2
        return code.rstrip()[: -len(text)].count("\n") + 1

    def is_whole_cell(self) -> bool:
        """Whether the magic is the running cell itself, so that its value is the cell's, and not some code's.

        False in a terminal: IPython has written ``Out[n]:`` there before it asks what the value looks like.
        """
        code = (self._parent().get("content") or {}).get("code", "")
        if not isinstance(code, str):
            return False
        text = code.strip()
        return text.startswith("%%bacalhau") or (text.startswith("%bacalhau") and "\n" not in text)

    def _parent(self) -> dict[str, Any]:
        kernel = getattr(self._shell, "kernel", None)
        parent = kernel.get_parent("shell") if kernel is not None else {}
        return parent if isinstance(parent, dict) else {}

    def _cell(self) -> str:
        """Return the id of the running cell, which JupyterLab and Notebook send along; empty elsewhere."""
        return _plain((self._parent().get("metadata") or {}).get("cellId"))

    def _kernel_id(self) -> str:
        application = getattr(getattr(self._shell, "kernel", None), "parent", None)
        name = PurePath(str(getattr(application, "connection_file", ""))).name
        named = _KERNEL_FILE.fullmatch(name)
        return named[1] if named else ""


def notebook_path() -> str:
    """Return the path of the notebook that this kernel was started for; empty outside of one."""
    path = os.environ.get("JPY_SESSION_NAME", "")
    return path if path.endswith(".ipynb") and len(path) <= _LONGEST_PATH and path.isprintable() else ""


def notebook_folders() -> list[Path]:
    """Return where modules beside the notebook lie: the kernel's directory, then the notebook's own."""
    folders = [Path.cwd()]
    path = notebook_path()
    if path and Path(path).is_absolute():
        folders.append(Path(path).parent)
    return list(dict.fromkeys(folders))


def _plain(text: object) -> str:
    return text if isinstance(text, str) and len(text) <= _LONGEST and text.isprintable() else ""
