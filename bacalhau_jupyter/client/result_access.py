"""How a result is fetched: one tree per event loop, scratch copies that go with the object, progress while it lasts."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bacalhau_jupyter.client.progress import run_shown
from bacalhau_jupyter.client.result_record import Finished
from bacalhau_jupyter.client.result_tree import HIDDEN, Part, ResultTree, clash
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import NotFound
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.job import Job as JobModel
from bacalhau_jupyter.transfer.core.files import Progress
from bacalhau_jupyter.transfer.core.layout import APPENDED
from bacalhau_jupyter.transfer.core.scratch import scratch_directory

if TYPE_CHECKING:
    from bacalhau_jupyter.client.job import Job
    from bacalhau_jupyter.client.portal import Portal

T = TypeVar("T")


class ResultAccess(Finished):
    """A finished job whose published files can be fetched. Blocking; threads may share it."""

    def __init__(self, handle: Job, job: JobModel, executions: list[Execution]) -> None:
        super().__init__(job, executions)
        self._handle = handle
        self._lock = threading.RLock()
        self._opened: tuple[Portal, ResultTree] | None = None
        self._directory: Path | None = None
        self._cache: Path | None = None

    @property
    def path(self) -> Path:
        """Local directory with everything (fetched on first use, removed with this object)."""
        with self._lock:
            if self._directory is None:
                directory = scratch_directory(self)
                try:
                    self._run(lambda tree, progress: tree.save(directory, progress=progress))
                except BaseException:
                    remove_tree(directory)
                    raise
                self._directory = directory
            return self._directory

    def _names(self, *, raw: bool = False) -> list[str]:
        found = self._run(lambda tree, _: tree.files(raw=raw))
        clashing = next(
            (name for name, parts in found.items() if len(parts) > 1 and name not in APPENDED), None
        )
        if clashing is not None:
            raise clash(clashing)
        return [name for name in found if HIDDEN not in name.split("/")]

    def _find(self, name: str) -> tuple[str, list[Part]]:
        found, parts = self._run(lambda tree, _: tree.find(name))
        if any(part.entry.kind.value != "file" for part in parts):
            raise NotFound(f"{name} is no file of {self._handle.short_id}'s results", component="Results")
        return found, parts

    def local(self, name: str) -> Path:
        """Return where one file lies on this machine, fetching it if it does not yet."""
        found, parts = self._find(name)
        if self._directory is not None and (here := self._directory / found).exists():
            return here
        return self._bring([(found, parts)])[0]

    def subtree(self, name: str) -> Path:
        """Return a local copy of one directory, which lives as long as this object; the rest is not fetched.

        Raises
        ------
        NotFound
            There is no such directory.
        """
        with self._lock:
            self._cache = self._cache or scratch_directory(self)
            place = Path(tempfile.mkdtemp(dir=self._cache))
        return place / self._run(lambda tree, progress: tree.save(place, name, progress))

    def _bring(self, wanted: Iterable[tuple[str, Sequence[Part]]]) -> list[Path]:
        with self._lock:
            cache = self._cache = self._cache or scratch_directory(self)

            async def bring(tree: ResultTree, progress: Progress) -> list[Path]:
                return [await tree.bring(cache, name, parts, progress) for name, parts in wanted]

            return self._run(bring)

    def _open_tree(self) -> tuple[Portal, ResultTree]:
        portal = self._handle.client.portal
        with self._lock:
            if self._opened is None or self._opened[0] is not portal:
                tree = self._handle.result_tree(self.executions)
                self._opened = (portal, tree)
                portal.own(tree)
                weakref.finalize(self, _close, portal, tree, os.getpid()).atexit = False
            return self._opened

    def _run(self, work: Callable[[ResultTree, Progress], Coroutine[Any, Any, T]]) -> T:
        portal, tree = self._open_tree()

        async def resting(progress: Progress) -> T:
            try:
                return await work(tree, progress)
            finally:
                await tree.rest()

        return run_shown(portal, resting)

    def _missing(self, what: str) -> NotFound:
        names = self._run(lambda tree, _: tree.files())
        there = [name for name in names if HIDDEN not in name.split("/")]
        listed = ", ".join(there[:10]) + (" …" if len(there) > 10 else "")
        return NotFound(
            f"the results of {self._handle.short_id} hold no {what}", hint=f"there is: {listed or 'nothing'}"
        )


def _close(portal: Portal, tree: ResultTree, owner: int) -> None:
    if os.getpid() == owner and portal.is_usable:
        with contextlib.suppress(RuntimeError):
            portal.start(tree.close())
