"""``GET <base_url>bacalhau/submissions``: which cells submitted which jobs, from the record in the repo directory.

``?path=`` answers with the jobs that the notebook's file can't know yet: those of the last run of each cell that were
submitted after it was last saved. The front end puts them back into their cells. ``?job=`` answers with the cell of
one job.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.utils import ApiPath, to_os_path
from tornado import web

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.config.submissions import Submission, Submissions
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Forbidden, NotFound
from bacalhau_jupyter.server.handlers.base import GatewayAPIHandler
from bacalhau_jupyter.server.handlers.notebooks import check_path
from bacalhau_jupyter.server.jobs.submissions import in_notebook


class SubmissionsHandler(GatewayAPIHandler):
    """Answers from the submission record, and from nothing else: a job's metadata puts no job into a cell."""

    SUPPORTED_METHODS = ("GET", "OPTIONS")

    @web.authenticated
    async def get(self) -> None:
        """Answer ``{"submissions": [{"job_id", "endpoint", "cell", "title"}]}`` or ``{"notebook", "cell"}``."""
        try:
            await self.authorize("read")
            allowed = self.authorizer.is_authorized(self, self.current_user, "read", "contents")
            if not await ensure_async(allowed):
                raise Forbidden("this Jupyter user may not read files")
            path, job_id = self.get_query_argument("path", ""), self.get_query_argument("job", "")
            if bool(path) == bool(job_id):
                raise BadRequest("exactly one of path and job must be given")
            answer = await (self._of_notebook(path) if path else self._of_job(job_id))
        except BacalhauError as error:
            self.send_envelope(error)
            return
        self.set_header("Cache-Control", "no-store")
        self.finish(encode(answer))

    async def _of_notebook(self, path: str) -> dict[str, Any]:
        check_path(path)
        saved_ns = await self._saved_ns(path)
        notebook = await asyncio.to_thread(self._on_disk, path)
        manager: Any = self.session_manager
        listed = await ensure_async(manager.list_sessions())
        sessions = {
            str(session["kernel"]["id"]): session.get("path") == path
            for session in listed
            if session.get("type") == "notebook" and session.get("kernel")
        }
        unsaved = in_notebook(await self._record(), notebook, sessions, saved_ns)
        return {"submissions": [_shown(one) for one in unsaved]}

    async def _of_job(self, job_id: str) -> dict[str, Any]:
        for one in reversed(await self._record()):
            if one.job_id == job_id:
                return {"notebook": self._below_root(one.notebook), "cell": one.cell}
        raise NotFound("no cell of this user submitted the job from here")

    def _on_disk(self, path: str) -> str:
        """Return where a notebook lies; empty for contents of other kinds, whose kernels know only its name."""
        folder = Path(to_os_path(ApiPath(str(PurePosixPath(path).parent)), self._root))
        return str(folder / PurePosixPath(path).name) if folder.is_dir() else ""

    async def _record(self) -> list[Submission]:
        return await asyncio.to_thread(Submissions(Repo(self.gateway.repo)).every)

    async def _saved_ns(self, path: str) -> int:
        try:
            manager: Any = self.contents_manager
            model = await ensure_async(manager.get(path, type="notebook", content=False))
        except web.HTTPError as error:
            raise NotFound(f"there is no notebook {path}") from error
        saved: datetime = model["last_modified"]
        return int(saved.timestamp() * 1e9)

    @property
    def _root(self) -> str:
        return str(getattr(self.contents_manager, "root_dir", "") or self.settings.get("server_root_dir", ""))

    def _below_root(self, notebook: str) -> str:
        """Return a notebook's path as Jupyter knows it, where it lies below the server's root."""
        root = Path(self._root).expanduser()
        return (
            Path(notebook).relative_to(root).as_posix() if Path(notebook).is_relative_to(root) else notebook
        )


def _shown(one: Submission) -> dict[str, str]:
    shown = {"job_id": one.job_id, "endpoint": one.endpoint, "cell": one.cell, "title": one.title}
    grouped = {"group": one.group, "what": one.what, "label": one.label}
    return shown | grouped if one.group else shown
