"""Results of the ``local`` publisher as links that open for a while."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.models.spec import SpecConfig
from bacalhau_jupyter.publishers.local import result_path
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
    """

    def __init__(self, data_dir: Path, key: bytes, expiry_s: float, clock: Clock) -> None:
        self._data_dir = data_dir
        self._key = key
        self._expiry_s = expiry_s
        self._clock = clock

    def sign(self, reference: SpecConfig, base_url: str) -> SpecConfig:
        """Turn a stored local reference into a signed URL; other types come back as they are."""
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
