"""Source ``s3``: objects of a bucket, of AWS or of any server that speaks its language.

The target is a *directory*. An object, a prefix (``…/``) or a wildcard (``…*``) becomes files in it; with
``Partition`` each execution of the job gets its share of them.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.fetch_limits import FetchLimits
from bacalhau_jupyter.plugins.s3_clients import ConfiguredS3
from bacalhau_jupyter.plugins.source import Availability, Bid, FetchRequest, InputMount, not_brought
from bacalhau_jupyter.sources.partitions import (
    COMPONENT,
    Partition,
    compile_pattern,
    parse_partition,
    selector,
)
from bacalhau_jupyter.transfer.core.files import io_failure, run_interruptible
from bacalhau_jupyter.transfer.s3.reading.download import download_objects
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object, find_objects, local_names, prefix_of
from bacalhau_jupyter.transfer.s3.reading.memo import ListingMemo, listing_identity
from bacalhau_jupyter.transfer.s3.requests.errors import CHANGED, READ_TIMEOUT_S
from bacalhau_jupyter.transfer.s3.requests.location import (
    S3Location,
    parse_location,
    text_param,
)

if TYPE_CHECKING:
    from bacalhau_jupyter.plugins.options import PluginOptions

_HEX_SUM = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")


@dataclass(frozen=True)
class S3Input:
    """A decoded ``s3`` source."""

    location: S3Location
    filter: str = ""
    sha256: str = ""
    partition: Partition = field(default_factory=Partition)

    def matches(self) -> Callable[[str], bool] | None:
        """Return the filter as a function of the key after the prefix; None for no filter."""
        if not self.filter:
            return None
        compiled = compile_pattern(self.filter, "Filter")
        return lambda text: compiled.search(text) is not None


def _base64_sum(text: str) -> str:
    """Return a SHA-256 as S3 has it; the documents, and tools such as sha256sum, have it in hexadecimal digits."""
    match = _HEX_SUM.fullmatch(text)
    return text if match is None else base64.b64encode(bytes.fromhex(match[1])).decode()


def parse_input(source: InputSource) -> S3Input:
    """Read the parameters of an ``s3`` source; names in any case.

    Raises
    ------
    BacalhauError
        A parameter is missing or wrong; it is named.
    """
    params = source.source.params
    members = folded(params)
    parsed = S3Input(
        location=parse_location(params, COMPONENT),
        filter=text_param(members, "Filter", COMPONENT),
        sha256=_base64_sum(text_param(members, "ChecksumSHA256", COMPONENT).strip()),
        partition=parse_partition(members.get("partition")),
    )
    parsed.matches()
    return parsed


class S3Source:
    """Brings objects; reads ``InputSources.ReadTimeout`` and ``InputSources.MaxRetryCount``."""

    types = ("s3",)

    def __init__(self, options: PluginOptions) -> None:
        self._settings = options.settings
        self._s3 = ConfiguredS3(options.settings, options.clock, COMPONENT)
        self._memo = ListingMemo(options.clock)

    async def probe(self) -> Availability:
        """Need boto3 only: without credentials there are still public buckets."""
        try:
            self._limits()
        except ConfigurationError as error:
            return Availability(available=False, problem=error.message)
        return await self._s3.probe()

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        try:
            s3_input = parse_input(input_source)
            _selects(execution, s3_input)
            self._s3.access().check(s3_input.location.endpoint, COMPONENT)
        except BacalhauError as error:
            return not_brought(error)
        return Bid(accepted=True)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        """Return the bytes of the objects that this execution gets."""
        s3_input = parse_input(input_source)
        objects = await run_interruptible(lambda stop: self._objects(execution, s3_input, stop))
        return sum(item.size for item in objects)

    async def identity(self, execution: Execution, input_source: InputSource) -> str | None:
        """Name the bytes that this execution gets; None when the server sends no ETags."""
        s3_input = parse_input(input_source)
        return await run_interruptible(
            lambda stop: _identity(s3_input, self._objects(execution, s3_input, stop))
        )

    async def fetch(self, request: FetchRequest) -> InputMount:
        s3_input = parse_input(request.input)
        directory = request.directory / "content"
        identity = await run_interruptible(lambda stop: self._fetch(request, s3_input, directory, stop))
        return InputMount(
            path=directory, target=request.input.target, read_only=True, identity=identity or ""
        )

    async def close(self) -> None:
        await self._s3.close()

    def _objects(self, execution: Execution, s3_input: S3Input, stop: threading.Event) -> Sequence[S3Object]:
        """Return what was found a moment ago, or look now."""
        name = _name(execution, s3_input)
        objects = self._memo.get(name)
        if objects is None:
            objects = self._find(execution, s3_input, stop)
            self._memo.put(name, objects)
        return objects

    def _find(self, execution: Execution, s3_input: S3Input, stop: threading.Event) -> list[S3Object]:
        """Return the objects of an execution's partition."""
        selects = _selects(execution, s3_input)
        objects = find_objects(
            self._s3.clients, s3_input.location, sha256=s3_input.sha256, matches=s3_input.matches(), stop=stop
        )
        return [item for item in objects if selects(item.key)]

    def _fetch(
        self, request: FetchRequest, s3_input: S3Input, directory: Path, stop: threading.Event
    ) -> str | None:
        """Download, and return the identity of what came."""
        objects = self._memo.take(_name(request.execution, s3_input))
        if objects is not None:
            try:
                return self._download(request, s3_input, objects, directory, stop)
            except BacalhauError as error:
                if error.details.get("ErrorCode") not in CHANGED:
                    raise
                # Something changed since the bid: fail only if it changes again.
                remove_tree(directory)
        return self._download(
            request, s3_input, self._find(request.execution, s3_input, stop), directory, stop
        )

    def _download(
        self,
        request: FetchRequest,
        s3_input: S3Input,
        objects: Sequence[S3Object],
        directory: Path,
        stop: threading.Event,
    ) -> str | None:
        names = local_names(s3_input.location, (item.key for item in objects), COMPONENT)
        try:
            # Whatever user the job runs as may read it; the directory around keeps others of this host out.
            directory.mkdir(mode=0o755)
        except OSError as error:
            raise io_failure(error, "write", directory, COMPONENT) from error
        read_timeout_s, max_retries = self._limits()
        download_objects(
            self._s3.clients,
            s3_input.location,
            objects,
            names,
            directory,
            progress=request.progress,
            stop=stop,
            max_retries=max_retries,
            read_timeout_s=read_timeout_s,
        )
        return listing_identity(s3_input.location, objects, names)

    def _limits(self) -> tuple[float, int]:
        """Return read time-out in seconds and number of retries."""
        limits = FetchLimits.of(self._settings, COMPONENT)
        # A person's patience with a whole page is too long for one of many connections.
        return min(limits.read_timeout_s, READ_TIMEOUT_S), limits.max_retries


def _name(execution: Execution, s3_input: S3Input) -> Hashable:
    return execution.id, execution.partition_index, _count(execution), s3_input


def _identity(s3_input: S3Input, objects: Sequence[S3Object]) -> str | None:
    names = local_names(s3_input.location, (item.key for item in objects), COMPONENT)
    return listing_identity(s3_input.location, objects, names)


def _count(execution: Execution) -> int:
    count = execution.job.count if execution.job is not None else None
    return 1 if count is None else count


def _selects(execution: Execution, s3_input: S3Input) -> Callable[[str], bool]:
    """Return which keys an execution gets, by its partition index and its job's count."""
    prefix = prefix_of(s3_input.location.key)
    return selector(s3_input.partition, prefix, _count(execution), execution.partition_index)
