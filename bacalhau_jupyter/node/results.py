"""Results of the publishers ``local``, ``s3`` and ``s3managed`` as links that open for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX, RESULTS_PATH
from bacalhau_jupyter.node.addresses import LinkAddress
from bacalhau_jupyter.publishers.shelf import mark_read, removal, result_path
from bacalhau_jupyter.transfer.archive.held import HeldArchive
from bacalhau_jupyter.transfer.core.signing import LOCAL, is_signed, local_reference, signed_reference, verify
from bacalhau_jupyter.transfer.s3.links.managed import TYPE as MANAGED
from bacalhau_jupyter.transfer.s3.links.managed import ManagedBucket
from bacalhau_jupyter.transfer.s3.links.presign import S3Presigner

COMPONENT = "LocalPublisher"

Directories = Callable[[], Iterable[Path]]


class LocalResults:
    """Signs references and finds archives (``api.services.results.ResultLinks``).

    Parameters
    ----------
    data_dir
        The compute role's directory.
    key
        The repo's signing key.
    expiry_s
        Seconds that a link lives.
    s3
        Signs results in buckets; None leaves them as they are.
    managed
        The orchestrator's own bucket; None without one.
    received
        Where results lie that nodes elsewhere sent; None where none do.
    address
        Where links to local results lead, if not to where the caller addressed us.
    others
        Directories of further compute roles in this process.
    """

    def __init__(
        self,
        data_dir: Path,
        key: bytes,
        expiry_s: float,
        clock: Clock,
        *,
        s3: S3Presigner | None = None,
        managed: ManagedBucket | None = None,
        received: Path | None = None,
        address: LinkAddress | None = None,
        others: Directories = tuple,
    ) -> None:
        self._data_dir = data_dir
        self._others = others
        self._key = key
        self._expiry_s = expiry_s
        self._clock = clock
        self._s3 = s3
        self._managed = managed
        self._received = received
        self._address = address or LinkAddress()

    def sign(self, reference: SpecConfig, base_url: str) -> SpecConfig:
        """Turn a stored reference into a signed URL; types that can't be signed come back as they are. May block.

        Raises
        ------
        BacalhauError
            A managed result can't be signed, and without a link it can't be read.
        """
        reference = as_local(reference, self._received)
        if reference.is_type(MANAGED):
            if self._managed is None:
                raise ConfigurationError(
                    "S3 managed publisher is not available, cannot fetch execution results",
                    hint="Ensure the S3 managed publisher is configured in orchestrator",
                    component="ManagedPublisher",
                )
            return self._managed.sign(reference)
        if self._s3 is not None and reference.is_type("s3"):
            return self._s3.sign(reference)
        base_url = self._address.applied_to(base_url)
        return signed_reference(reference, base_url, self._key, self._clock.now_ns(), self._expiry_s)

    def file(self, reference: SpecConfig) -> Path | None:
        """Return the archive of a stored reference on this disk; None where it lies elsewhere, or nowhere. Blocks."""
        reference = as_local(reference, self._received)
        if not reference.is_type(LOCAL):
            return None
        try:
            return self.archive(str(reference.param("ExecutionID", "")))
        except NotFound:
            return None

    def stored(self, url: str) -> Path | None:
        """Return the archive that a link signed by this node means; None for any other URL. Blocks.

        The link's holder may read the archive, under any name of this node: so it is the signature
        that distinguishes this node's links from others.

        Raises
        ------
        Forbidden
            The link's time is over.
        NotFound
            What became of the archive.
        """
        try:
            parts = urlsplit(url)
            path = unquote(parts.path, errors="strict")
        except ValueError:
            return None
        query = dict(parse_qsl(parts.query))
        _, separator, name = path.partition(f"{RESULTS_PATH}/")
        if not separator or not is_signed(f"{RESULTS_PATH}/{name}", query, self._key):
            return None
        return self.resolve(name, query["expires"], query["signature"])

    def archive(self, execution_id: str) -> Path:
        """Return the archive of an execution's result; raises NotFound saying what became of it. Blocks."""
        try:
            data_dir = directory_of(execution_id, self._data_dir, with_received(self._others, self._received))
            path = result_path(data_dir, execution_id)
        except BadRequest as error:
            raise _gone(f"{execution_id}{ARCHIVE_SUFFIX}") from error
        if not path.exists():
            raise removed(data_dir, execution_id) or _gone(f"{execution_id}{ARCHIVE_SUFFIX}")
        # Retention keeps a result that is being read part by part, perhaps for hours.
        mark_read(path, self._clock.now_ns())
        return path

    def opened(self, archive: Path) -> HeldArchive | None:
        """Open an archive whose large files lie beside it; None for one that is a file. Blocks.

        Raises
        ------
        IOFailure
            It is damaged.
        NotFound
            It was removed meanwhile.
        """
        if not archive.is_dir():
            return None
        try:
            return HeldArchive.open(archive)
        except OSError as error:
            raise _gone(archive.name) from error

    def resolve(self, name: str, expires: str, signature: str) -> Path:
        """Return the archive that a signed URL means; raises Forbidden, or NotFound saying what became of it."""
        query = {"expires": expires, "signature": signature}
        verify(f"{RESULTS_PATH}/{name}", query, self._key, self._clock.now_ns())
        if not name.endswith(ARCHIVE_SUFFIX):
            raise _gone(name)
        return self.archive(name.removesuffix(ARCHIVE_SUFFIX))


def as_local(reference: SpecConfig, received: Path | None) -> SpecConfig:
    """Return the reference of a managed result that a node sent to our own disk as one of a local result. Blocks.

    Those in a bucket, and all others, come back as they are. That the reference names its own execution was checked
    when it was reported.
    """
    if received is None or not reference.is_type(MANAGED):
        return reference
    execution_id = str(reference.param("ExecutionID", ""))
    try:
        is_here = result_path(received, execution_id).exists() or removal(received, execution_id) is not None
    except BadRequest:
        is_here = False
    return local_reference(execution_id, "") if is_here else reference


def with_received(others: Directories, received: Path | None) -> Directories:
    """Return the directories in which results may lie beside the first one."""
    return others if received is None else lambda: (*others(), received)


def directory_of(execution_id: str, own: Path, others: Directories) -> Path:
    """Return the directory of the compute role that keeps, or kept, an execution's result; else ``own``. Blocks.

    Raises
    ------
    BadRequest
        There can't be an execution of this ID.
    """
    if not result_path(own, execution_id).exists():
        for other in others():
            if result_path(other, execution_id).exists() or removal(other, execution_id) is not None:
                return other
    return own


def removed(data_dir: Path, execution_id: str) -> NotFound | None:
    """Return the error for a local result that retention removed; None when it did not. Blocks."""
    record = removal(data_dir, execution_id)
    if record is None:
        return None
    return NotFound(
        f"the results of execution {execution_id} were removed at {record.removed[:19]}Z: {record.reason}",
        hint="Run the job again, or publish results that must stay to s3 or ipfs.",
        code="ResultsRemoved",
        status=HTTPStatus.GONE,
    )


def _gone(name: str) -> NotFound:
    return NotFound(
        f"there is no result {name[:80]} on this node",
        hint="It may have been cleaned up; run the job again.",
    )
