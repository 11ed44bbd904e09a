"""Checks whether bytes are the stored ones."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from pathlib import Path

from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object

_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


class EtagCheck:
    """Compares bytes with ETags, most of which are MD5 sums. Usable from several threads.

    Those of multipart uploads are not, and look so; those of encrypted objects and of some servers are not, and
    look as if. So a difference counts only if it is another one each time: the same bytes twice are the object's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digests: dict[str, str] = {}
        self._on = True

    def applies(self, item: S3Object) -> bool:
        """Whether the object's ETag may say what its bytes are."""
        return self._on and _MD5.fullmatch(item.etag) is not None

    def accepts(self, item: S3Object, digest: str) -> bool:
        """Whether these are the object's bytes; if not, they are to be fetched again.

        Parameters
        ----------
        digest
            MD5 of what came, in hexadecimal digits.
        """
        if digest == item.etag.strip('"'):
            return True
        with self._lock:
            if self._on and self._digests.get(item.key) != digest:
                self._digests[item.key] = digest
                return False
            self._on = False
            return True


def verify_sha256(path: Path, expected: str, name: str, component: str) -> None:
    """Compare a file with a base64 SHA-256.

    Raises
    ------
    EngineError
        They differ. The checksum of a multipart upload (``…-3``) is not a checksum of its bytes, and is not compared.
    IOFailure
        The file can't be read.
    """
    if "-" in expected:
        return
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise io_failure(error, "read", path, component) from error
    actual = base64.b64encode(digest).decode()
    if actual != expected:
        raise EngineError(
            f"the checksum of {name} differs: the job expects {expected}, its bytes have {actual}",
            hint="correct ChecksumSHA256 (base64), or leave it out",
            component=component,
        )
