"""Signed links: what specs hold of uploads and of local results, and what they mean on the node that signed them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import Forbidden, NotFound
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task, replace
from bacalhau_jupyter.models.records.uploads import ARCHIVE, NodeLink, content_path, is_sha256, parse_link
from bacalhau_jupyter.transfer.core.signing import is_signed, sign, times_of, verify
from bacalhau_jupyter.uploads.store import UploadStore

MIN_LIFE_S = 24 * 3600.0
"""Seconds that a link in a job lives at least, besides the job's own time limits."""

MOST_LIFE_S = 30 * 24 * 3600.0
"""Seconds that a link lives at most, and after its first renewal also all that are made of it by submitting it again.

Only a job that the node has accepted gets links with a new time, when it runs again.
"""

_QUEUE_S = 24 * 3600.0
_WAY_OUT = "submit the job again with the file itself (-i PATH), which uploads it"
_ANEW = "run the job that made it again, or submit this one with a fresh link (inputs=[result])"

ResultPath = Callable[[str], Path]
"""Returns the archive of an execution; raises NotFound saying what became of it. Blocks."""


class UploadLinks:
    """Signs links and finds what they mean.

    Parameters
    ----------
    store
        Has the contents.
    key
        The repo's signing key.
    result
        Finds archives of the ``local`` publisher.
    """

    def __init__(self, store: UploadStore, key: bytes, clock: Clock, result: ResultPath) -> None:
        self._store = store
        self._key = key
        self._clock = clock
        self._result = result

    def url(self, sha256: str, name: str, base_url: str, life_s: float = MIN_LIFE_S) -> str:
        """Return a link to a content, under a name, valid for so many seconds."""
        return f"{base_url.rstrip('/')}{self._signed(content_path(sha256, name), life_s)}"

    def resolve(self, sha256: str, name: str, expires: str, signature: str) -> Path:
        """Return the content that a request for a link means. Blocks.

        Raises
        ------
        Forbidden
            The signature is wrong, or its time is over.
        NotFound
            The content is not there any more.
        """
        path, query = content_path(sha256, name), {"expires": expires, "signature": signature}
        verify(path, query, self._key, self._clock.now_ns(), "upload")
        return self._content(sha256, name)

    def content(self, url: str) -> Path | None:
        """Return the content behind a link that this node signed; None for any other URL. Blocks.

        Raises
        ------
        Forbidden, NotFound
            As for `resolve`.
        """
        link = self._own(url)
        if link is None or not link.sha256:
            return None
        verify(link.path, link.query, self._key, self._clock.now_ns(), "upload")
        return self._content(link.sha256, link.path.rpartition("/")[2])

    def renewed(self, job: Job, again: bool = False) -> Job:
        """Return a job whose own links live as long as it may wait and run; foreign ones stay as they are. Blocks.

        No link lives longer than `MOST_LIFE_S`, and submitting one again and again does not prolong that.

        Parameters
        ----------
        again
            Whether the job was accepted before: then its links count though their time is over.

        Raises
        ------
        Forbidden
            The time of a link is over.
        NotFound
            What a link means is not there any more.
        """
        tasks = [self._renewed(task, again) for task in job.tasks]
        return job if tasks == job.tasks else replace(job, tasks=tasks)

    def referred(self, jobs: Iterable[Job]) -> tuple[set[str], set[str]]:
        """Return the hashes of uploads, and the IDs of executions, to which the inputs of some jobs refer.

        Only links that this node signed count, though their time is over: others could keep anything they name.
        """
        contents: set[str] = set()
        executions: set[str] = set()
        for job in jobs:
            for link in filter(None, map(self._own, _urls(job))):
                (contents if link.sha256 else executions).add(link.sha256 or link.execution_id)
        return contents, executions

    # ---- below

    def _renewed(self, task: Task, again: bool) -> Task:
        limits = task.timeouts
        life_s = MIN_LIFE_S + max(
            limits.total_timeout, (limits.queue_timeout or _QUEUE_S) + limits.execution_timeout
        )
        inputs = [self._renewed_input(item, life_s, again) for item in task.input_sources]
        return task if inputs == task.input_sources else replace(task, input_sources=inputs)

    def _renewed_input(self, item: InputSource, life_s: float, again: bool) -> InputSource:
        url = item.source.param("URL")
        link = self._own(url) if item.source.is_type("urlDownload", ARCHIVE) else None
        if link is None:
            return item
        now_ns = self._clock.now_ns()
        expires_at, renewed_at = times_of(link.query)
        expires_ns = expires_at * SECOND
        if not again and expires_ns <= now_ns:
            raise Forbidden(
                f"the link of input {_name(item)} expired at {rfc3339(expires_ns)}",
                hint=_WAY_OUT if link.sha256 else _ANEW,
                status=400,
            )
        try:
            self._find(link)
        except NotFound as error:
            raise NotFound(
                f"input {_name(item)}: {error.message}", hint=error.hint or _WAY_OUT, code=error.code
            ) from error
        now = now_ns // SECOND
        first_renewed_at = now if again or not renewed_at else renewed_at
        until = int(min(now + life_s, first_renewed_at + MOST_LIFE_S))
        if expires_at >= until:
            return item
        base, is_ours, _ = str(url).partition("?")[0].partition("/api/v1/")
        if not is_ours:
            return item  # its path is written with escapes, which we never do
        renewed = f"{base}{quote(link.path)}?{sign(link.path, until, self._key, first_renewed_at)}"
        # Of several spellings (URL, url) a node may read any.
        params = {
            name: renewed if name.lower() == "url" else value for name, value in item.source.params.items()
        }
        return replace(item, source=SpecConfig(type=item.source.type, params=params))

    def _find(self, link: NodeLink) -> None:
        if link.execution_id:
            self._result(link.execution_id)
            return
        self._store.named(link.sha256)
        self._content(link.sha256, link.path.rpartition("/")[2])

    def _content(self, sha256: str, name: str) -> Path:
        path = self._store.open_content(sha256) if is_sha256(sha256) else None
        if path is None:
            raise NotFound(
                f"the upload {name[:80]} is not on this node any more: it made room for others", hint=_WAY_OUT
            )
        return path

    def _own(self, url: object) -> NodeLink | None:
        link = parse_link(url)
        return link if link is not None and is_signed(link.path, link.query, self._key) else None

    def _signed(self, path: str, life_s: float) -> str:
        return f"{quote(path)}?{sign(path, self._clock.now_ns() // SECOND + int(life_s), self._key)}"


def _urls(job: Job) -> Iterable[object]:
    for task in job.tasks:
        for item in task.input_sources:
            if item.source.is_type("urlDownload", ARCHIVE):
                yield item.source.param("URL")


def _name(item: InputSource) -> str:
    return item.alias or item.target
