"""Results: what a job left behind, fetched when somebody looks, shown like a small file system."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from bacalhau_jupyter.client.tables import is_table, read_tables, table_rank
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, NotFound
from bacalhau_jupyter.models.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.job import Job as JobModel
from bacalhau_jupyter.models.spec import SpecConfig

if TYPE_CHECKING:
    import pandas as pd

    from bacalhau_jupyter.client.job import Job

HIDDEN = ".bacalhau"
"""Directory below ``outputs`` that holds what ``--out`` brings back."""


class JobResult:
    """The result of a finished job.

    Attributes
    ----------
    job
        The job's final record.
    executions
        Its executions.
    """

    def __init__(self, handle: Job, job: JobModel, executions: list[Execution]) -> None:
        self._handle = handle
        self.job = job
        self.executions = executions
        self._directory: Path | None = None

    # ---- what the record says

    @property
    def _last(self) -> Execution | None:
        done = [
            item for item in self.executions if item.compute_state.state_type is ExecutionStateType.COMPLETED
        ]
        candidates = done or self.executions
        return max(candidates, key=lambda item: item.modify_time) if candidates else None

    @property
    def exit_code(self) -> int | None:
        """The first non-zero exit code of the completed executions, else 0; None when nothing ran."""
        # An official node reports a zero for executions that never got so far.
        codes = [
            item.run_output.exit_code
            for item in self.executions
            if item.run_output is not None
            and (item.run_output.exit_code or item.compute_state.state_type is ExecutionStateType.COMPLETED)
        ]
        return next((code for code in codes if code), 0) if codes else None

    @property
    def node(self) -> str:
        """ID of the node that ran the (last) execution."""
        return self._last.node_id if self._last else ""

    @property
    def runtime(self) -> str:
        """What ran it: the engine's type and, where the node tells, its runtime."""
        engine = self.job.task.engine.type
        name = self._last.compute_state.details.get("Runtime", "") if self._last else ""
        return f"{engine} ({name})" if name and name != engine else engine

    @property
    def stdout(self) -> str:
        """Full standard output."""
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        """Full standard error."""
        return self._stream("stderr")

    def _stream(self, name: str) -> str:
        """Return one stream: from the published file (of all executions), else what the records and logs hold."""
        outputs = [item.run_output for item in self.executions if item.run_output is not None]
        cut = any(getattr(output, f"{name}_truncated") for output in outputs)
        if len(outputs) == 1 and not cut:
            return str(getattr(outputs[0], name))
        if any(not item.published_result.is_empty for item in self.executions):
            file = self.path / name
            if file.is_file():
                return file.read_text(errors="replace")
        if cut:
            with contextlib.suppress(BacalhauError):
                return self._handle.printed(name)
        return "".join(getattr(output, name) for output in outputs)

    # ---- files

    @property
    def path(self) -> Path:
        """Local directory with the unpacked results (fetched on first use, removed with this object)."""
        if self._directory is None:
            directory = scratch_directory()
            weakref.finalize(self, _remove, directory, os.getpid())
            try:
                self._handle.download(directory)
            except BaseException:
                shutil.rmtree(directory, ignore_errors=True)
                raise
            self._directory = directory
        return self._directory

    @property
    def files(self) -> Mapping[str, Path]:
        """All result files: path inside the results → local path."""
        root = self.path
        return {
            path.relative_to(root).as_posix(): path
            for path in sorted(root.rglob("*"))
            if path.is_file() and HIDDEN not in path.relative_to(root).parts
        }

    def ls(self, pattern: str = "*") -> list[str]:
        """Return the paths that match a shell pattern (``*`` also crosses directories)."""
        return [name for name in self.files if fnmatch.fnmatch(name, pattern)]

    def open(self, name: str) -> BinaryIO:
        """Open one result file for reading."""
        return self._file(name).open("rb")

    def get(self, name: str, destination: str | Path = ".") -> Path:
        """Copy one result file or directory to ``destination``; return the new path."""
        source = self.path / name
        if not source.exists() or not source.resolve().is_relative_to(self.path.resolve()):
            raise self._missing(name)
        target = Path(destination)
        target = target / source.name if target.is_dir() else target
        return Path(shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target))

    def text(self, name: str = "stdout") -> str:
        """Return one result file as text; ``stdout`` and ``stderr`` are there without a publisher, too."""
        if name in _STREAMS and name not in self.files:
            return self._stream(name)
        return self._file(name).read_text(errors="replace")

    def json(self, name: str = "stdout") -> Any:
        """Return one result file parsed as JSON.

        Raises
        ------
        BacalhauError
            It is not JSON.
        """
        try:
            return json.loads(self.text(name))
        except ValueError as error:
            raise BacalhauError(f"{name} is not JSON: {error}", component="Results") from error

    def df(self, pattern: str | None = None) -> pd.DataFrame:
        """Return the tables that match ``pattern`` as one frame (default: the first table the job wrote).

        Raises
        ------
        NotFound
            No table matches.
        """
        names = self.ls(pattern) if pattern else self._first_table()
        if not names:
            raise self._missing(pattern or "a table")
        root = self.path
        return read_tables([root / name for name in names], root)

    def _first_table(self) -> list[str]:
        """Return the written table whose format keeps most (Parquet before CSV before JSON)."""
        tables = [name for name, path in self.files.items() if is_table(path)]
        return sorted(tables, key=lambda name: table_rank(Path(name)))[:1]

    def _file(self, name: str) -> Path:
        files = self.files
        found = files.get(name) or files.get(f"outputs/{name}")
        if found is None:
            raise self._missing(name)
        return found

    def _missing(self, name: str) -> NotFound:
        there = list(self.files)
        listed = ", ".join(there[:10]) + (" …" if len(there) > 10 else "")
        return NotFound(
            f"the results of {self._handle.short_id} hold no {name}", hint=f"there is: {listed or 'nothing'}"
        )

    def __repr__(self) -> str:
        state = self.job.state.state_type.value
        code = "" if self.exit_code is None else f", exit code {self.exit_code}"
        return f"<JobResult {self._handle.short_id}: {state}{code}, {self.runtime}>"


_PREFIX = "bacalhau-result-"
_STREAMS = ("stdout", "stderr")


def _remove(directory: Path, owner: int) -> None:
    """Remove a result's directory; a forked child leaves its parent's alone."""
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)


def scratch_directory() -> Path:
    """Create a directory for one result; what killed processes of ours left behind is removed on the way."""
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        pid = old.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if pid.isdigit() and old.stat().st_uid == os.getuid() and not _is_alive(int(pid)):
                shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def download_results(handle: Job, directory: Path) -> None:
    """Fetch and unpack all published results of a job into ``directory``, merged as the official CLI does.

    Raises
    ------
    BacalhauError
        A result can't be fetched or unpacked, or two executions wrote the same file.
    """
    from bacalhau_jupyter.transfer.archives import unpack_blocking
    from bacalhau_jupyter.transfer.results import merge_results

    # Inside the target: the merge renames, so both must be on one disk.
    with tempfile.TemporaryDirectory(prefix=".bacalhau-get-", dir=directory) as scratch:
        parts = []
        for number in range(len(handle.results())):
            archive = Path(scratch) / f"{number}.tar.gz"
            _fetch(handle, number, archive)
            part = Path(scratch) / str(number)
            unpack_blocking(archive, part)
            archive.unlink()
            parts.append(part)
        merge_results(parts, directory)


def _fetch(handle: Job, number: int, archive: Path) -> None:
    """Download one result; after a broken connection from the start, under the address it has then."""
    for last in (False, False, True):
        url = _download_url(handle.results()[number])
        try:
            with archive.open("wb") as file:
                handle.fetch(url, file.write)
            return
        except NetworkFailure:
            if last:
                raise


def _download_url(item: SpecConfig) -> str:
    folded = {key.lower(): value for key, value in item.params.items()}
    address = folded.get("url") or folded.get("presignedurl")
    if not address:
        raise BacalhauError(
            f"results of type {item.type!r} can't be downloaded by this version",
            hint="read them where they were published: " + json.dumps(item.params),
            component="Results",
        )
    return str(address)


@contextlib.contextmanager
def fresh_directory(path: Path) -> Iterator[Path]:
    """Make a directory for results; remove it again when filling it fails."""
    existed = path.exists()
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield path
    except BaseException:
        if not existed:
            shutil.rmtree(path, ignore_errors=True)
        raise
