"""Brings executed copies of notebook jobs back beside their originals, also those of an earlier server's life.

What is still to come lies in the repo directory, one small file per job; which notebook and which name are in the
job's meta. A copy names its job, so that one that was saved just before a crash is not saved again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from jupyter_core.utils import ensure_async

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.job import Job, JobFailed, JobResult
from bacalhau_jupyter.client.notebooks.copies import executed_copy
from bacalhau_jupyter.client.notebooks.files import copy_name
from bacalhau_jupyter.config.files import write_atomic
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, NotFound

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint
    from bacalhau_jupyter.server.cluster.connection import ClusterConnection

log = logging.getLogger(__name__)

DIRECTORY = "notebook-jobs"
FIRST_DELAY_S, LONGEST_DELAY_S = 1.0, 60.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_NAMES = 1000
"""How many copies of one notebook may lie beside it."""


class GatewayFinder:
    """Finds whichever cluster the gateway is connected to."""

    is_fixed = False

    def __init__(self, connection: ClusterConnection) -> None:
        self._connection = connection

    def find(self, lost: Endpoint | None, *, start: bool) -> Endpoint:
        if lost is not None:
            self._connection.drop(lost)
        return self._connection.connect()


@dataclass(frozen=True)
class Awaited:
    """One notebook job whose copy is still to come.

    Attributes
    ----------
    job
        Its ID.
    path
        The notebook, as the contents manager names it.
    root
        Whose contents they are: another Jupyter server may share the repo directory.
    """

    job: str
    path: str
    root: str


class NotebookCollector:
    """Waits for notebook jobs and saves their executed copies.

    Parameters
    ----------
    connection
        Of the gateway; the client for it is made when the first notebook needs one.
    contents
        Jupyter's contents manager, which writes the copies.
    repo
        The repo directory.
    """

    def __init__(self, connection: ClusterConnection, contents: Any, repo: Path) -> None:
        self._connection = connection
        self._client: Client | None = None
        self._contents = contents
        self._directory = repo / DIRECTORY
        self._root = f"{type(contents).__name__}:{getattr(contents, 'root_dir', '')}"
        self._new: asyncio.Queue[Awaited] = asyncio.Queue()
        # Between the look at a name and the file there, another copy would take the same name.
        self._naming = asyncio.Lock()

    @property
    def client(self) -> Client:
        """The client of the connected cluster."""
        if self._client is None:
            self._client = Client(finder=GatewayFinder(self._connection))
        return self._client

    async def expect(self, job: str, path: str) -> None:
        """Collect the copy of ``job`` when it is over, in this server's life or a later one's.

        Raises
        ------
        NetworkFailure
            The job's ID is not valid.
        """
        if not _ID.fullmatch(job):
            # It becomes the name of a file here, and comes from whatever cluster is connected.
            raise NetworkFailure(f"the cluster gave the job an impossible ID: {job[:80]!r}")
        awaited = Awaited(job, path, self._root)
        try:
            await asyncio.to_thread(self._remember, awaited)
        except (OSError, BacalhauError) as error:
            # The job runs, and this server at least will fetch its copy.
            log.warning("bacalhau: notebook job %s can't be noted: %s", job, error)
        self._new.put_nowait(awaited)

    async def run(self) -> None:
        """Collect until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for awaited in await asyncio.to_thread(self._remembered):
                tasks.create_task(self._collect(awaited), name=f"notebook {awaited.job}")
            while True:
                awaited = await self._new.get()
                tasks.create_task(self._collect(awaited), name=f"notebook {awaited.job}")

    async def close(self) -> None:
        """Give the client's connections back."""
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    # ---- what is still to come

    def _file(self, job: str) -> Path:
        return self._directory / f"{job}.json"

    def _remember(self, awaited: Awaited) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        text = json.dumps({"job": awaited.job, "path": awaited.path, "root": awaited.root})
        write_atomic(self._file(awaited.job), text)

    def _remembered(self) -> list[Awaited]:
        orders = []
        with contextlib.suppress(OSError):
            for file in sorted(self._directory.glob("*.json")):
                with contextlib.suppress(OSError, ValueError, TypeError):
                    awaited = Awaited(**json.loads(read_text(file)))
                    if awaited.root == self._root and self._file(awaited.job) == file:
                        orders.append(awaited)
        return orders

    def _forget(self, awaited: Awaited) -> None:
        self._file(awaited.job).unlink(missing_ok=True)

    # ---- one job

    async def _collect(self, awaited: Awaited) -> None:
        delays = backoff(FIRST_DELAY_S, LONGEST_DELAY_S)
        while True:
            try:
                await self._bring(awaited)
            except NotFound:
                # Another cluster's, or deleted: asked for again when the next server starts.
                log.info("bacalhau: the connected cluster does not know notebook job %s", awaited.job)
                return
            except asyncio.CancelledError:
                raise
            except Exception as error:
                log.warning("bacalhau: the copy of %s is not available yet: %s", awaited.path, error)
                await asyncio.sleep(next(delays))
                continue
            await asyncio.to_thread(self._forget, awaited)
            return

    async def _bring(self, awaited: Awaited) -> None:
        result = await self._result(awaited.job)
        data = await asyncio.to_thread(executed_copy, result) if result is not None else None
        if data is None:
            log.warning("bacalhau: notebook job %s left no executed copy", awaited.job)
            return
        try:
            notebook = await asyncio.to_thread(_parsed, data)
        except BacalhauError as error:
            # It stays what it is, however often it is fetched.
            log.warning("bacalhau: notebook job %s: %s", awaited.job, error)
            return
        path = await self._save(notebook, awaited)
        log.info("bacalhau: the executed copy of %s is %s", awaited.path, path)

    async def _result(self, job: str) -> JobResult | None:
        await asyncio.to_thread(self.client.api)
        try:
            return await Job(self.client, job)
        except JobFailed as error:
            # A failed cell is an exit code: the copy that shows it comes back like any other.
            return error.result

    async def _save(self, notebook: Any, awaited: Awaited) -> str:
        notebook.metadata["bacalhau"] = {"job_id": awaited.job, "notebook": awaited.path}
        folder = PurePosixPath(awaited.path).parent
        async with self._naming:
            for number in range(_NAMES):
                path = str(folder / copy_name(awaited.path, number))
                if not await ensure_async(self._contents.file_exists(path)):
                    model = {"type": "notebook", "format": "json", "content": notebook}
                    await ensure_async(self._contents.save(model, path))
                    return path
                if await self._is_of(path, awaited.job):
                    return path
        raise BacalhauError(f"there are {_NAMES} copies of {awaited.path} already", component="Notebook")

    async def _is_of(self, path: str, job: str) -> bool:
        try:
            there = await ensure_async(self._contents.get(path, type="notebook", content=True))
            return bool(there["content"]["metadata"].get("bacalhau", {}).get("job_id") == job)
        except Exception:
            # A user's file that is not a notebook: it stays, and the copy takes the next name.
            return False


def _parsed(data: bytes) -> Any:
    """Return an executed copy as Jupyter may save it: what a job displays is trusted by nobody yet.

    Raises
    ------
    BacalhauError
        The file is not a notebook.
    """
    import nbformat

    try:
        notebook: Any = nbformat.reads(data.decode(), 4)  # type: ignore[no-untyped-call]
        for cell in notebook.cells:
            # Jupyter signs a notebook whose cells say this; their scripts would run when it is opened.
            cell.metadata.pop("trusted", None)
        notebook.metadata.pop("bacalhau", None)
    except Exception as error:
        raise BacalhauError(f"the executed copy is no notebook: {str(error)[:200]}") from error
    return notebook
