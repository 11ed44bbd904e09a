"""Source ``localDirectory`` (alias ``local``): a path of this host that its owner allow-lists.

What is compared with the allow-list is the real path, links and ``..`` resolved. That path is then opened without
following any link, and what was opened (device and inode) goes along: the engine mounts this very object or nothing.
So neither a detour nor a link that is put there later leads anywhere else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.lib.truth import parse_truth
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ConfigurationError, IOFailure
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.source import Availability, Bid, FetchRequest, InputMount
from bacalhau_jupyter.sources.allowlist import KEY, AllowedPath, job_writable, parse_allow_list
from bacalhau_jupyter.transfer.core.files import io_failure

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

COMPONENT = "LocalSource"
_CREATE = {"nocreate": "", "": "", "dir": "dir", "file": "file"}
_MOUNT_WHAT_IS_OPEN = ("process", "noop")
"""Engines that mount an open descriptor; others mount by a path, which they resolve themselves."""


@dataclass(frozen=True)
class _Params:
    """The parameters of an input: the path as written, access, and ``dir``, ``file`` or ``""`` to create."""

    path: str
    writable: bool
    create: str


class LocalDirectorySource:
    """Mounts allow-listed paths; reads ``Compute.AllowListedLocalPaths``.

    ``options.hidden`` and what holds them can't be mounted, whatever the list says.
    """

    types: tuple[str, ...] = ("localdirectory", "local")

    def __init__(self, options: PluginOptions) -> None:
        self._settings = options.settings
        self._hidden = [Path(os.path.realpath(path)) for path in options.hidden]

    async def probe(self) -> Availability:
        # An empty allow-list leaves the source listed: a job that wants a path is then told which entry is missing
        # and where to put it, instead of "does not support localDirectory".
        try:
            parse_allow_list(self._settings(KEY))
        except ConfigurationError as error:
            return Availability(available=False, problem=error.message)
        return Availability(available=True)

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        try:
            await asyncio.to_thread(self._look_at, execution, input_source.source)
        except BacalhauError as error:
            reason = error.message if not error.hint else f"{error.message} ({error.hint})"
            return Bid(accepted=False, reason=reason)
        return Bid(accepted=True)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        """Return 0: the path is on this disk already."""
        return 0

    async def fetch(self, request: FetchRequest) -> InputMount:
        return await asyncio.to_thread(self._prepare, request)

    async def close(self) -> None:
        return

    def _look_at(self, execution: Execution, spec: SpecConfig) -> None:
        path, params, _ = self._resolve(execution, spec)
        if os.path.lexists(path):
            os.close(_open(path, params))
        else:
            _check_creation(path, params)

    def _prepare(self, request: FetchRequest) -> InputMount:
        path, params, jobs_write = self._resolve(request.execution, request.input.source)
        if not os.path.lexists(path):
            _check_creation(path, params)
            _create(path, params.create)
        descriptor = _open(path, params)
        try:
            return InputMount(
                path=path,
                target=request.input.target,
                read_only=not params.writable,
                checked=beneath.file_id(descriptor),
                jobs_write=jobs_write,
            )
        finally:
            os.close(descriptor)

    def _resolve(self, execution: Execution, spec: SpecConfig) -> tuple[Path, _Params, bool]:
        """Return the real path to mount, what is wanted of it, and whether jobs may write there.

        Raises
        ------
        BacalhauError
            A sentence that starts "this node": it may not mount the path.
        """
        params = _parameters(spec)
        allowed = parse_allow_list(self._settings(KEY))
        try:
            path = Path(params.path).resolve()
        except (OSError, RuntimeError) as error:
            raise IOFailure(f"this node can't follow the local path {params.path}: {error}") from error
        # Only jobs that may see a path learn whether it exists, and where its links lead.
        self._check_hidden(path, params.path)
        _check_allowed(path, params, allowed)
        _check_movable(execution, path, allowed)
        return path, params, job_writable(path, allowed) is not None

    def _check_hidden(self, path: Path, written: str) -> None:
        for hidden in self._hidden:
            if path == hidden or hidden in path.parents or path in hidden.parents:
                raise ConfigurationError(
                    f"this node never shows {written} to a job: the node's own files are there",
                    hint="mount a directory beside them",
                )


def _parameters(spec: SpecConfig) -> _Params:
    path = spec.param("SourcePath")
    if not isinstance(path, str) or not path.strip():
        raise BadRequest("this node needs a SourcePath for a localDirectory input")
    path = path.strip()
    if not path.startswith("/") or "\0" in path:
        raise BadRequest(
            f"this node needs an absolute SourcePath for a localDirectory input, not {path!r}",
        )
    create = spec.param("CreateAs") or ""
    if not isinstance(create, str) or create.strip().lower() not in _CREATE:
        raise BadRequest(
            f"this node does not know CreateAs {create!r} of a localDirectory input",
            hint="it is one of dir, file, noCreate",
        )
    kind = _CREATE[create.strip().lower()]
    if kind == "file" and path.endswith("/"):
        raise BadRequest(f"this node can't create {path} as a file: it ends with a slash")
    return _Params(path, _truth(spec.param("ReadWrite")), kind)


def _truth(value: object) -> bool:
    if value is None or str(value).strip() == "":
        return False
    flag = parse_truth(value)
    if flag is None:
        raise BadRequest(
            f"this node reads ReadWrite of a localDirectory input as true or false, not {value!r}",
        )
    return flag


def _check_allowed(path: Path, params: _Params, allowed: list[AllowedPath]) -> None:
    matching = [entry for entry in allowed if entry.matches(path)]
    if not matching:
        mode = "rw" if params.writable else "ro"
        raise ConfigurationError(
            f"this node does not share the local path {params.path}: it is not allowlisted",
            # By its letters alone: what lies behind a link is not for everybody to know.
            hint=f"the node's owner can add it: -c {KEY}={os.path.normpath(params.path)}:{mode}",
        )
    if params.writable and not any(entry.writable for entry in matching):
        raise ConfigurationError(
            f"this node shares {path} for reading only: the volume is not granted write access",
            hint=f"the node's owner can change it: -c {KEY}={matching[0].glob}:rw",
        )


def _check_movable(execution: Execution, path: Path, allowed: list[AllowedPath]) -> None:
    """Refuse what a job could replace by a link in the moment in which an engine resolves the path."""
    if execution.job is None or not execution.job.tasks:
        return
    engine = execution.job.task.engine
    above = job_writable(path.parent, allowed) if path != path.parent else None
    if above is not None and not engine.is_type(*_MOUNT_WHAT_IS_OPEN):
        raise ConfigurationError(
            f"this node can't share {path} with {engine.type} jobs: jobs may write to {above} and could put "
            "something else in its place",
            hint=f"mount {above} and use {path.relative_to(above)} in it, or allow-list its parts one by one "
            f"({above}/*:rw instead of {above}:rw)",
        )


def _check_creation(path: Path, params: _Params) -> None:
    if not (params.writable and params.create):
        raise IOFailure(
            f"this node can't mount {path}: it does not exist and creation is not allowed",
            hint="create it, or ask for ReadWrite with CreateAs dir or file",
        )


def _open(path: Path, params: _Params) -> int:
    """Open what is at a checked path, and see that the node itself may use it as wanted."""
    descriptor = _guarded(path, "mount", lambda: beneath.open_path(path))
    try:
        # By the descriptor: the path may lead elsewhere by now.
        here = Path(f"/proc/self/fd/{descriptor}")
        here = here if here.exists() else path
        needed = os.R_OK | (os.X_OK if beneath.is_directory(descriptor) else 0)
        if not os.access(here, needed):
            raise IOFailure(f"this node may not read {path}: permission denied")
        if params.writable and not os.access(here, os.W_OK):
            raise IOFailure(f"this node may not write to {path}: permission denied")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _create(path: Path, kind: str) -> None:
    try:
        os.close(_guarded(path, f"create the {kind}", lambda: beneath.make(path, kind)))
    except FileExistsError:
        return  # another process was faster; it is checked like any existing path


def _guarded(path: Path, doing: str, work: Callable[[], int]) -> int:
    try:
        return work()
    except FileExistsError:
        raise
    except beneath.Changed as error:
        raise IOFailure(
            f"this node can't {doing} {path}: it was replaced while it was checked",
        ) from error
    except PermissionError as error:
        if doing == "mount":
            raise IOFailure(f"this node may not read {path}: permission denied") from error
        raise io_failure(error, doing, path, COMPONENT) from error
    except OSError as error:
        raise io_failure(error, doing, path, COMPONENT) from error
