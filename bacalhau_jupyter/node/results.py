"""Results of the publishers ``local``, ``s3`` and ``s3managed`` as links that open for a while."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError, NotFound
from bacalhau_jupyter.models.published import ARCHIVE_SUFFIX, RESULTS_PATH
from bacalhau_jupyter.models.spec import SpecConfig
from bacalhau_jupyter.node.addresses import LinkAddress
from bacalhau_jupyter.publishers.local import mark_read, removal, result_path
from bacalhau_jupyter.transfer.core.signing import is_signed, signed_reference, verify
from bacalhau_jupyter.transfer.s3.managed import TYPE as MANAGED
from bacalhau_jupyter.transfer.s3.managed import ManagedBucket
from bacalhau_jupyter.transfer.s3.presign import S3Presigner

COMPONENT = "LocalPublisher"


class LocalResults:
    """Signs references and finds archives (``api.base.ResultLinks``).

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
    address
        Where links to local results lead, if not to where the caller addressed us.
    """

    def __init__(
        self,
        data_dir: Path,
        key: bytes,
        expiry_s: float,
        clock: Clock,
        s3: S3Presigner | None = None,
        managed: ManagedBucket | None = None,
        address: LinkAddress | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._key = key
        self._expiry_s = expiry_s
        self._clock = clock
        self._s3 = s3
        self._managed = managed
        self._address = address or LinkAddress()

    def sign(self, reference: SpecConfig, base_url: str) -> SpecConfig:
        """Turn a stored reference into a signed URL; types that can't be signed come back as they are. May block.

        Raises
        ------
        BacalhauError
            A managed result can't be signed, and without a link it can't be read.
        """
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

    def resolve(self, name: str, expires: str, signature: str) -> Path:
        """Return the archive that a signed URL means; raises Forbidden, or NotFound saying what became of it."""
        query = {"expires": expires, "signature": signature}
        verify(f"{RESULTS_PATH}/{name}", query, self._key, self._clock.now_ns())
        try:
            path = result_path(self._data_dir, name.removesuffix(ARCHIVE_SUFFIX))
        except BadRequest as error:
            raise _gone(name) from error
        if not name.endswith(ARCHIVE_SUFFIX) or not path.is_file():
            raise removed(self._data_dir, name.removesuffix(ARCHIVE_SUFFIX)) or _gone(name)
        # Retention keeps a result that is being read part by part, perhaps for hours.
        mark_read(path, self._clock.now_ns())
        return path


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
