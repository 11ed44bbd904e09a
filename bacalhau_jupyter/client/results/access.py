"""How a result is fetched: one tree per event loop, scratch copies that go with the object, progress while it lasts."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

from bacalhau_jupyter.client.connection.portal import Portal
from bacalhau_jupyter.client.results.files import open_remote
from bacalhau_jupyter.client.results.origin import Origin
from bacalhau_jupyter.client.results.progress import run_shown
from bacalhau_jupyter.client.results.tree import HIDDEN, Part, ResultTree, clash
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import IOFailure, NotFound
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Progress
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.layout import APPENDED
from bacalhau_jupyter.transfer.core.scratch import scratch_directory

T = TypeVar("T")


class ResultAccess:
    """Fetches the published files of a finished job. Blocking; threads may share it.

    Parameters
    ----------
    origin
        Opens the job's results.
    executions
        The job's executions.
    """

    def __init__(self, origin: Origin, executions: Sequence[Execution]) -> None:
        self._origin = origin
        self._executions = executions
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
                    self.run(lambda tree, progress: tree.save(directory, progress=progress))
                except BaseException:
                    remove_tree(directory)
                    raise
                self._directory = directory
            return self._directory

    def names(self, *, raw: bool = False) -> list[str]:
        """Return the files' merged or raw names, without what ``--out`` brought back.

        Raises
        ------
        Conflict
            Several executions wrote the same path, and ``raw`` is not set.
        """
        files = self.run(lambda tree, _: tree.files(raw=raw))
        clashing = next(
            (name for name, parts in files.items() if len(parts) > 1 and name not in APPENDED), None
        )
        if clashing is not None:
            raise clash(clashing)
        return [name for name in files if HIDDEN not in name.split("/")]

    def find(self, name: str) -> tuple[str, list[Part]]:
        """Return a file's path as it is listed, and its parts.

        Raises
        ------
        NotFound
            The file does not exist.
        """
        found_name, parts = self.run(lambda tree, _: tree.find(name))
        if any(part.entry.kind.value != "file" for part in parts):
            raise NotFound(
                f"{name} is not a file in the results of {self._origin.short_id}", component="Results"
            )
        return found_name, parts

    def open(self, name: str) -> BinaryIO:
        """Open one file for reading: seekable, and only what is read of it is fetched."""
        found_name, parts = self.find(name)
        if self._directory is not None and (here := self._directory / found_name).is_file():
            return here.open("rb")
        portal, tree = self.opened()

        async def read(start: int, stop: int) -> bytes:
            try:
                return b"".join([chunk async for chunk in tree.read(parts, start, stop)])
            finally:
                await tree.rest()

        size = sum(part.entry.size for part in parts)
        return open_remote(size, lambda start, stop: portal.run(read(start, stop)), found_name)

    def local(self, name: str) -> Path:
        """Return where one file lies on this machine, fetching it if it does not yet."""
        found_name, parts = self.find(name)
        if self._directory is not None and (here := self._directory / found_name).exists():
            return here
        return self.fetch([(found_name, parts)])[0]

    def copy(self, name: str, target: Path) -> Path:
        """Copy one file or directory to ``target`` (into it, if it is a directory); return the new path.

        Raises
        ------
        IOFailure
            It can't be written, or is a directory that is there already.
        """
        target = target / PurePosixPath(name).name if target.is_dir() else target
        if target.is_dir():
            raise IOFailure(f"{target} is there already", component="Results")
        try:
            with tempfile.TemporaryDirectory(prefix=".bacalhau-get-", dir=target.parent) as scratch:
                place = Path(scratch)
                saved = self.run(lambda tree, progress: tree.save(place, name, progress))
                (place / saved).rename(target)
        except OSError as error:
            raise io_failure(error, "write", target, "Results") from error
        return target

    def subtree(self, name: str) -> Path:
        """Return a local copy of one directory, which lives as long as this object; the rest is not fetched.

        Raises
        ------
        NotFound
            The directory does not exist.
        """
        with self._lock:
            self._cache = self._cache or scratch_directory(self)
            place = Path(tempfile.mkdtemp(dir=self._cache))
        # What ``--out`` brought back is read, and nobody is given it as a file.
        may_link = HIDDEN in name.split("/")
        return place / self.run(lambda tree, progress: tree.save(place, name, progress, may_link=may_link))

    def fetch(self, files: Iterable[tuple[str, Sequence[Part]]]) -> list[Path]:
        """Return where files lie on this machine, fetching those that do not yet; each is a name and its parts."""
        with self._lock:
            cache = self._cache = self._cache or scratch_directory(self)

            async def bring(tree: ResultTree, progress: Progress) -> list[Path]:
                return [await tree.bring(cache, name, parts, progress) for name, parts in files]

            return self.run(bring)

    def opened(self) -> tuple[Portal, ResultTree]:
        """Return the tree and the event loop thread that it belongs to; a forked process gets its own."""
        portal = self._origin.portal
        with self._lock:
            if self._opened is None or self._opened[0] is not portal:
                tree = self._origin.result_tree(self._executions)
                self._opened = (portal, tree)
                portal.own(tree)
                weakref.finalize(self, _close, portal, tree, os.getpid()).atexit = False
            return self._opened

    def run(self, work: Callable[[ResultTree, Progress], Coroutine[Any, Any, T]]) -> T:
        """Work with the tree on its event loop and wait; progress is shown while it lasts."""
        portal, tree = self.opened()

        async def resting(progress: Progress) -> T:
            try:
                return await work(tree, progress)
            finally:
                await tree.rest()

        return run_shown(portal, resting)

    def missing(self, what: str) -> NotFound:
        """Return the error for something that the results do not hold; its hint lists what they do hold."""
        names = self.run(lambda tree, _: tree.files())
        there = [name for name in names if HIDDEN not in name.split("/")]
        listed = ", ".join(there[:10]) + (" …" if len(there) > 10 else "")
        return NotFound(
            f"the results of {self._origin.short_id} hold no {what}", hint=f"there is: {listed or 'nothing'}"
        )


def _close(portal: Portal, tree: ResultTree, owner: int) -> None:
    if os.getpid() == owner and portal.is_usable:
        with contextlib.suppress(RuntimeError):
            portal.start(tree.close())
