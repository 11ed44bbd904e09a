"""Results as inputs of the next job: by reference where the publisher allows it, else inside the job.

What arrives are files, never an archive that the job would have to unpack:

============================  ===========================================================================
published to                  what the next job gets
============================  ===========================================================================
``s3`` with encoding plain    an ``s3`` input of the prefix, or of the key below it
``ipfs``                      an ``ipfs`` input of the CID, or of the path below it
``local``                     an ``urlArchive`` input (ours): a signed link to the archive, and the path in it, which
                              the node that has the result follows on its disk; what is small, and all of it for
                              clusters without that type, travels inside the job
``s3`` (tar.gz),              the files themselves inside the job (up to `inline.INLINE_LIMIT`), else a link as above
``s3managed``
============================  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Protocol

from bacalhau_jupyter.client.inputs.inline import INLINE_LIMIT, SMALL, inline, inline_files
from bacalhau_jupyter.client.inputs.uri import DEFAULT_TARGET, JOB_SCHEME
from bacalhau_jupyter.client.results.published import (
    Place,
    missing,
    place_of,
    s3_reference,
    too_large,
)
from bacalhau_jupyter.client.results.tree import HIDDEN
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.names import to_wire
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.records.uploads import ARCHIVE
from bacalhau_jupyter.models.records.uploads import FEATURE as UPLOADS
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry


class Readable(Protocol):
    """What a part needs from the result that it is a part of; `JobResult` has it."""

    @property
    def job(self) -> Job:
        """The job's final record."""
        ...

    @property
    def executions(self) -> Sequence[Execution]:
        """The job's executions."""
        ...

    def ls(self, pattern: str = "*", *, raw: bool = False) -> list[str]:
        """Return the files' names; ``raw``: below each execution's short ID."""
        ...

    def entries(self, *, raw: bool = False) -> list[ResultEntry]:
        """Return files, directories and links with their sizes."""
        ...

    def bytes(self, name: str) -> bytes:
        """Return one file."""
        ...

    def archive_urls(self) -> list[str]:
        """Return the addresses of the archives, as the cluster signs them now."""
        ...

    @property
    def features(self) -> Collection[str]:
        """What the cluster offers beyond the official API."""
        ...


@dataclass(frozen=True)
class ResultPart:
    """A job's result, or a file or directory of it, as an input.

    A directory's content appears in the directory ``target``, a file in it under its own name. Of several
    executions each has its own directory, ``target/0``, ``target/1``, … by the number of its partition; only
    a file that one of them alone has needs none.

    Attributes
    ----------
    result
        The result.
    path
        Path inside the result as `JobResult.ls` shows it; empty for everything. A ``/`` at the end says that it is
        a directory, which else is looked up.
    target
        Absolute path inside the next job.
    is_archive
        Whether the archive itself is passed, where the result is one.
    """

    result: Readable
    path: str = ""
    target: str = DEFAULT_TARGET
    is_archive: bool = False

    def to(self, target: str) -> ResultPart:
        """Return the same part for another directory of the next job."""
        if not target.startswith("/"):
            raise BadRequest(f"the target inside the job is an absolute path, not {target!r}")
        return replace(self, target=target)

    def as_inputs(self) -> list[InputSource]:
        """Return the inputs for a job's spec.

        Raises
        ------
        BacalhauError
            The file does not exist, nothing was published, or the files are too large to travel inside a job.
        """
        published = self._published()
        if self.is_archive:
            return self._archives([reference for _, reference in published])
        places = [(number, place_of(reference, self._name)) for number, reference in published]
        by_reference = [(number, place) for number, place in places if place is not None]
        if len(by_reference) < len(places):
            return self._from_archives(published)
        try:
            holders, is_directory = self._holders()
        except NotFound:
            raise
        except BacalhauError:
            # A client without rights on a bucket may still refer to objects that the node may read.
            holders, is_directory = {}, not self._inside or self.path.endswith("/")
        alone = not is_directory and len(holders) == 1
        chosen = [item for item in by_reference if item[0] in holders] if alone else by_reference
        numbered = len(chosen) > 1
        return [
            self._input(place, self._place_of(number, numbered), is_directory) for number, place in chosen
        ]

    # ---- by reference

    @property
    def _name(self) -> str:
        return f"job {short_id(self.result.job.id)}"

    @property
    def _inside(self) -> str:
        return self.path.strip("/")

    def _alias(self, target: str) -> str:
        """Name an input as ``-i`` takes it: aliases have to be unique in a job, and targets are."""
        inside = f"/{self._inside}" if self._inside else ""
        return f"{JOB_SCHEME}{self.result.job.id}{inside}:{target}"

    def _place_of(self, number: int, numbered: bool) -> str:
        return f"{self.target.rstrip('/')}/{number}" if numbered else self.target

    def _done(self) -> list[tuple[int, Execution]]:
        """Return the completed executions by number: that of their partition."""
        done = [
            item
            for item in self.result.executions
            if item.compute_state.state_type is ExecutionStateType.COMPLETED
        ]
        done.sort(key=lambda item: item.partition_index)
        distinct = len({item.partition_index for item in done}) == len(done)
        return [(item.partition_index if distinct else place, item) for place, item in enumerate(done)]

    def _published(self) -> list[tuple[int, SpecConfig]]:
        """Return where the executions' results lie, each place once (several may publish to one)."""
        published: list[tuple[int, SpecConfig]] = []
        for number, execution in self._done():
            reference = execution.published_result
            if not reference.is_empty and all(reference != other for _, other in published):
                published.append((number, reference))
        if not published:
            raise BadRequest(
                f"{self._name} published no result that can be an input",
                hint="it needs an output and a publisher, as all our jobs have by default (-p local)",
            )
        return published

    def _holders(self) -> tuple[dict[int, list[str]], bool]:
        """Return the wanted files by execution, and whether they are a directory's.

        Raises
        ------
        NotFound
            No execution has the path.
        """
        labels = {short_id(execution.id): number for number, execution in self._done()}
        names = [name for name in self.result.ls(raw=True) if HIDDEN not in name.split("/")]
        holders: dict[int, list[str]] = {}
        is_directory = not self._inside or self.path.endswith("/")
        for name in names:
            label, _, inside = name.partition("/")
            below = not self._inside or inside.startswith(f"{self._inside}/")
            if below or inside == self._inside:
                is_directory = is_directory or below
                holders.setdefault(labels.setdefault(label, len(labels)), []).append(name)
        if not holders:
            raise missing(self._name, self.path, [name.partition("/")[2] for name in names])
        return holders, is_directory

    def _input(self, place: Place, target: str, is_directory: bool) -> InputSource:
        if place.type == "s3":
            # The target of an S3 input is always a directory.
            key = place.root + self._inside + ("/" if is_directory and self._inside else "")
            source = SpecConfig(type="s3", params={**place.params, "Key": key})
            return InputSource(source=source, alias=self._alias(target), target=target)
        source = SpecConfig(type="ipfs", params={"CID": f"{place.root}/{self._inside}".rstrip("/")})
        if not is_directory:
            target = f"{target.rstrip('/')}/{PurePosixPath(self._inside).name}"
        return InputSource(source=source, alias=self._alias(target), target=target)

    # ---- inside the job

    def _from_archives(self, published: list[tuple[int, SpecConfig]]) -> list[InputSource]:
        """Pass files of archives: what is small inside the job, the rest by links, where the cluster unpacks."""
        holders, is_directory = self._holders()
        entries = {entry.path: entry for entry in self.result.entries(raw=True)}
        names = [name for those in holders.values() for name in those]
        size = sum(entries[name].size for name in names if name in entries)
        can_link = UPLOADS in self.result.features
        if can_link and size > SMALL:
            is_local = all(reference.is_type("local") for _, reference in published)
            # A link in an archive says nothing without what it means; in a directory both come along.
            is_alone = not is_directory and any(entries[name].kind is EntryKind.LINK for name in names)
            if not is_alone and (is_local or size > INLINE_LIMIT):
                return self._linked(published, holders, is_directory)
        return self._shipped(holders, is_directory, size)

    def _linked(
        self, published: list[tuple[int, SpecConfig]], holders: dict[int, list[str]], is_directory: bool
    ) -> list[InputSource]:
        several = len(holders) > 1 or (is_directory and len(self._done()) > 1)
        addresses = self.result.archive_urls()
        executions = {number: execution.id for number, execution in self._done()}
        sources = []
        for place, (number, _) in enumerate(published):
            if number not in holders:
                continue
            own = (
                url
                for url in addresses
                if f"/{executions[number]}." in url or f"/{executions[number]}/" in url
            )
            address = next(own, addresses[min(place, len(addresses) - 1)])
            target = self._place_of(number, several)
            params = {"URL": address}
            if is_directory:
                params["LeaveOut"] = HIDDEN
            else:
                target = f"{target.rstrip('/')}/{PurePosixPath(self._inside).name}"
            if self._inside:
                params["Path"] = to_wire(self._inside)
            source = SpecConfig(type=ARCHIVE, params=params)
            sources.append(InputSource(source=source, alias=self._alias(target), target=target))
        return sources

    def _shipped(self, holders: dict[int, list[str]], is_directory: bool, size: int) -> list[InputSource]:
        """Send the files themselves, packed as one input."""
        what = f"the result of {self._name}" + (f", {self._inside}," if self._inside else "")
        several = len(holders) > 1 or (is_directory and len(self._done()) > 1)
        # Before anything is fetched. What doesn't fit four times over never fits packed; a file alone isn't packed.
        if size > INLINE_LIMIT * (4 if several or is_directory else 1):
            raise too_large(what, size)
        try:
            if not is_directory and not several:
                ((name,),) = holders.values()
                leaf = PurePosixPath(name).name
                return [inline(self.result.bytes(name), f"{self.target.rstrip('/')}/{leaf}", what=what)]
            packed = {
                (f"{number}/" if several else "") + self._relative(name, is_directory): self.result.bytes(
                    name
                )
                for number, names in holders.items()
                for name in names
            }
            return [inline_files(packed, self.target, what=what)]
        except BadRequest as error:
            raise too_large(what, size) from error

    def _relative(self, name: str, is_directory: bool) -> str:
        """Return the path below the target of a file that is listed as ``LABEL/path``."""
        inside = name.partition("/")[2]
        if not is_directory:
            return PurePosixPath(inside).name
        return inside[len(self._inside) + 1 :] if self._inside else inside

    # ---- the archive itself

    def _archives(self, references: list[SpecConfig]) -> list[InputSource]:
        if self._inside:
            raise BadRequest("an archive is passed as a whole: use result.archive, without a path")
        if any(place_of(item, self._name) for item in references):
            raise BadRequest(
                f"{self._name} published files, no archive",
                hint="pass the result itself: -i job:ID, in Python inputs=[result]",
            )
        if all(item.type == "s3" for item in references):
            folded_references = [folded(item.params) for item in references]
            sources = [
                SpecConfig(type="s3", params={**s3_reference(params), "Key": params["key"]})
                for params in folded_references
            ]
        else:
            sources = [
                SpecConfig(type="urlDownload", params={"URL": url}) for url in self.result.archive_urls()
            ]
        targets = [self._place_of(number, len(sources) > 1) for number in range(len(sources))]
        return [
            InputSource(source=source, alias=self._alias(target), target=target)
            for source, target in zip(sources, targets, strict=True)
        ]
