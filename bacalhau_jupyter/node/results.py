"""Results of the publishers ``local`` and ``s3`` as links that open for a while."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.models.spec import SpecConfig
from bacalhau_jupyter.publishers.local import result_path
from bacalhau_jupyter.transfer.s3_presign import S3Presigner
from bacalhau_jupyter.transfer.signing import RESULTS_PATH, signed_reference, verify

SUFFIX = ".tar.gz"


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
    """

    def __init__(
        self, data_dir: Path, key: bytes, expiry_s: float, clock: Clock, s3: S3Presigner | None = None
    ) -> None:
        self._data_dir = data_dir
        self._key = key
        self._expiry_s = expiry_s
        self._clock = clock
        self._s3 = s3

    def sign(self, reference: SpecConfig, base_url: str) -> SpecConfig:
        """Turn a stored reference into a signed URL; types that can't be signed come back as they are. May block."""
        if self._s3 is not None and reference.is_type("s3"):
            return self._s3.sign(reference)
        return signed_reference(reference, base_url, self._key, self._clock.now_ns(), self._expiry_s)

    def resolve(self, name: str, expires: str, signature: str) -> Path:
        """Return the archive that a signed URL means; raises Forbidden or NotFound."""
        query = {"expires": expires, "signature": signature}
        verify(RESULTS_PATH + name, query, self._key, self._clock.now_ns())
        try:
            path = result_path(self._data_dir, name.removesuffix(SUFFIX))
        except BadRequest as error:
            raise _gone(name) from error
        if not name.endswith(SUFFIX) or not path.is_file():
            raise _gone(name)
        return path


def _gone(name: str) -> NotFound:
    return NotFound(
        f"there is no result {name[:80]} on this node",
        hint="It may have been cleaned up; run the job again.",
        component="LocalPublisher",
    )
