"""Results: what a job left behind, a small file system that fetches only the files that are read."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from bacalhau_jupyter.client.results.access import ResultAccess
from bacalhau_jupyter.client.results.files import ResultFiles
from bacalhau_jupyter.client.results.image import IMAGE_SUFFIXES, as_image
from bacalhau_jupyter.client.results.origin import Origin
from bacalhau_jupyter.client.results.published import archive_urls
from bacalhau_jupyter.client.results.record import Finished
from bacalhau_jupyter.client.results.references import ResultPart
from bacalhau_jupyter.client.results.streams import STREAMS, stream_text
from bacalhau_jupyter.client.results.table_choice import choose_tables
from bacalhau_jupyter.client.results.trust import load
from bacalhau_jupyter.client.tables import SIZE_LIMIT, Backend, TableFile, read_tables
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.records.displays import without_displays
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.outcome import Outcome
from bacalhau_jupyter.transfer.core.readers import ResultEntry

_HEAD = 4096


class JobResult:
    """The result of a finished job. Blocking methods; what is small costs little, however large the rest is.

    A result is an input of another job, too: ``inputs=[result]``, ``inputs=[result["outputs/x.parquet"]]``.

    Parameters
    ----------
    origin
        Opens the results; the job does.
    job
        The job's final record.
    executions
        Its executions.
    """

    def __init__(self, origin: Origin, job: JobModel, executions: list[Execution]) -> None:
        self._origin = origin
        self._record = Finished(job, executions)
        self._access = ResultAccess(origin, executions)

    # ---- what its record says

    @property
    def job(self) -> JobModel:
        """The job's final record."""
        return self._record.job

    @property
    def executions(self) -> list[Execution]:
        """The job's executions."""
        return self._record.executions

    @property
    def exit_code(self) -> int | None:
        """The first non-zero exit code of the completed executions, else 0; None when nothing ran."""
        return self._record.exit_code

    @property
    def outcome(self) -> Outcome:
        """``succeeded``, ``failed`` (also with an exit code other than 0) or ``stopped``."""
        return self._record.outcome

    @property
    def left_out(self) -> list[str]:
        """What the job left behind and that is not among its results, a line each: what it was, and why."""
        return self._record.left_out

    @property
    def node(self) -> str:
        """ID of the node that ran the (last) execution."""
        return self._record.node

    @property
    def runtime(self) -> str:
        """What ran it: the engine's type and, if the node reports it, its runtime."""
        return self._record.runtime

    # ---- what was printed

    @property
    def stdout(self) -> str:
        """Full standard output."""
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        """Full standard error."""
        return self._stream("stderr")

    def _stream(self, name: str) -> str:
        text = stream_text(name, self.executions, published=self.bytes, printed=self._origin.printed)
        return without_displays(text)

    # ---- what is there

    def entries(self, *, raw: bool = False) -> list[ResultEntry]:
        """Return files, directories and links with their sizes, parents first; see `ls` for ``raw``."""
        return self._access.run(lambda tree, _: tree.entries(raw=raw))

    def ls(self, pattern: str = "*", *, raw: bool = False) -> list[str]:
        """Return the files that match a shell pattern (``*`` also crosses directories); none of them is fetched.

        Parameters
        ----------
        raw
            List each execution's files under its short ID, instead of merging them.

        Raises
        ------
        Conflict
            Several executions wrote the same path, and ``raw`` is not set.
        """
        return [name for name in self._access.names(raw=raw) if fnmatch.fnmatchcase(name, pattern)]

    @property
    def files(self) -> Mapping[str, Path]:
        """All result files: path inside the results → local path, fetched when it is looked up."""
        return ResultFiles(self, self._access.names())

    @property
    def path(self) -> Path:
        """Local directory with everything (fetched on first use, removed with this object)."""
        return self._access.path

    def subtree(self, name: str) -> Path:
        """Return a local copy of one directory, which lives as long as this object; the rest is not fetched.

        Raises
        ------
        NotFound
            The directory does not exist.
        """
        return self._access.subtree(name)

    # ---- one file

    def local(self, name: str) -> Path:
        """Return where one file lies on this machine, fetching it if it does not yet."""
        return self._access.local(name)

    def open(self, name: str) -> BinaryIO:
        """Open one file for reading: seekable, and only what is read of it is fetched."""
        return self._access.open(name)

    def bytes(self, name: str) -> bytes:
        """Return one file."""
        with self.open(name) as file:
            return file.read()

    def text(self, name: str = "stdout") -> str:
        """Return one file as text; ``stdout`` and ``stderr`` are there without a publisher, too."""
        if name in STREAMS:
            return self._stream(name)
        return self.bytes(name).decode(errors="replace")

    def json(self, name: str = "stdout") -> Any:
        """Return one file parsed as JSON.

        Raises
        ------
        BacalhauError
            It is not JSON.
        """
        try:
            return json.loads(self.text(name))
        except (ValueError, RecursionError) as error:
            raise BacalhauError(f"{name} is not JSON: {error}", component="Results") from error

    def image(self, name: str | None = None) -> Any:
        """Return an image (default: the first): a `PIL.Image.Image` where Pillow is installed, else IPython's.

        Raises
        ------
        NotFound
            The image does not exist.
        BacalhauError
            It is not an image, or a broken one.
        """
        if name is None:
            images = (item for item in self._access.names() if item.lower().endswith(IMAGE_SUFFIXES))
            name = next(images, None)
        if name is None:
            raise self._access.missing("image")
        return as_image(name, self.bytes(name))

    def get(self, name: str, destination: str | Path = ".") -> Path:
        """Copy one file or directory to ``destination`` (into it, if it is a directory); return the new path.

        Raises
        ------
        IOFailure
            It can't be written, or is a directory that is there already.
        """
        return self._access.copy(name, Path(destination))

    def load(self, name: str, *, trust: bool = False) -> Any:
        """Return a variable of ``--out``, the value of a call, or a pickle file among the results.

        Parameters
        ----------
        name
            The variable's name, or the file's path.
        trust
            Whether a pickle may be read. That runs code which the job chose, with all you may do here.

        Raises
        ------
        BadRequest
            Only unpickling would bring it back, and ``trust`` is not set.
        NotFound
            Nothing has that name.
        """
        return load(self, name, trust=trust)

    # ---- tables

    def df(
        self,
        pattern: str | None = None,
        *,
        backend: Backend = "pandas",
        size_limit: int = SIZE_LIMIT,
        encoding: str | None = None,
    ) -> Any:
        """Return the tables that match ``pattern`` as one frame (default: the first table the job wrote).

        Only those are fetched. Of several executions, all of that name come together, with a column ``source``.

        Parameters
        ----------
        pattern
            A path or shell pattern; ``stdout`` reads what was printed.
        backend
            ``pandas``, ``polars`` or ``arrow``.
        size_limit
            Bytes that may be read; more is an error, never a sample.
        encoding
            Of text files (``cp1252``, ``latin-1``, …); if left out, from the byte order mark, else UTF-8.

        Raises
        ------
        NotFound
            No table matches.
        BadRequest
            The encoding of a text file is unknown.
        """
        files = self._access.run(lambda tree, _: tree.files())
        chosen_tables = choose_tables(files, pattern, size_limit, partial(_head, self))
        if not chosen_tables:
            raise self._access.missing(pattern or "table")
        labels = [source.label for source in self._access.opened()[1].sources]
        paths = self._access.fetch([(item.name, item.parts) for item in chosen_tables])
        tables = [
            TableFile(path, f"{labels[item.parts[0].number]}/{item.name}" if item.shared else item.name)
            for path, item in zip(paths, chosen_tables, strict=True)
        ]
        return read_tables(tables, backend=backend, size_limit=size_limit, encoding=encoding)

    # ---- as an input of another job

    def __getitem__(self, path: str) -> ResultPart:
        """Return a file or directory of the result as an input of another job; ``.to(target)`` says where."""
        return ResultPart(self, path)

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a result is not a sequence: result.ls() lists its files")

    def to(self, target: str) -> ResultPart:
        """Return the result as an input of another job, in the directory ``target``."""
        return ResultPart(self).to(target)

    @property
    def archive(self) -> ResultPart:
        """The result as it was published, as an input: the ``.tar.gz`` arrives unopened.

        Of the publishers ``local`` and ``s3managed`` it is a signed address that works for an hour: by then the
        job has to have started.
        """
        return ResultPart(self, is_archive=True)

    def as_inputs(self) -> list[InputSource]:
        """Return the inputs for another job's spec; see `ResultPart.as_inputs`."""
        return ResultPart(self).as_inputs()

    @property
    def features(self) -> Collection[str]:
        """What the cluster that has the result offers beyond the official API."""
        return self._origin.features

    def archive_urls(self) -> list[str]:
        """Return the addresses of the archives, as the cluster signs them now.

        Raises
        ------
        BacalhauError
            A result has none.
        """
        return archive_urls(self._origin.results())

    def __repr__(self) -> str:
        state, code = self.job.state.state_type, self.exit_code
        # The official state of a program that failed is "Completed", too.
        parts = [] if code and state is JobStateType.COMPLETED else [state.value]
        parts += [] if code is None else [f"exit code {code}"]
        return f"<JobResult {self._origin.short_id}: {', '.join([*parts, self.runtime])}>"


def _head(result: JobResult, name: str) -> bytes:
    with result.open(name) as file:
        return file.read(_HEAD)
