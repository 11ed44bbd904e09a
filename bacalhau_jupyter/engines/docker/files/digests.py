"""The digest of bytes that are on their way: computed beside the sending, which it would hold up by a tenth."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

_SMALL = 1 << 14
"""Handing fewer bytes to another thread takes longer than the digest."""


class Digest:
    """SHA-256 in a thread of its own; to be used as a context, by one thread."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="docker-digest")
        self._last: Future[None] | None = None

    def __enter__(self) -> Digest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)

    def update(self, data: bytes) -> None:
        """Take more bytes, in order; at most one block of them waits."""
        self._settle()
        if len(data) < _SMALL:
            self._hash.update(data)
        else:
            self._last = self._pool.submit(self._hash.update, data)

    def next(self) -> str:
        """Return the digest of what came, and begin another one."""
        self._settle()
        digest, self._hash = self._hash.hexdigest(), hashlib.sha256()
        return digest

    def _settle(self) -> None:
        if self._last is not None:
            self._last.result()
            self._last = None
