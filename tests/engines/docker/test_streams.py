"""Answers of an engine whose way breaks off while they come."""

from __future__ import annotations

import errno
import io
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from bacalhau_jupyter.engines.docker.output.streams import Stream

ENDS = [
    TimeoutError(errno.ETIMEDOUT, "Connection timed out"),
    OSError(errno.EHOSTUNREACH, "No route to host"),
    ssl.SSLError(1, "decryption failed or bad record mac"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
]


class Broken(io.BytesIO):
    """A connection that breaks after what it holds: packets that vanish can't be caused in a second."""

    def __init__(self, data: bytes, end: OSError, *, chunked: bool) -> None:
        super().__init__(data)
        self._end = end
        if chunked:
            self._fp = SimpleNamespace(chunked=True, fp=self)

    def read1(self, size: int | None = -1, /) -> bytes:
        data = super().read1(size)
        if not data:
            raise self._end
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    @property
    def raw(self) -> Broken:
        return self


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_whatever_ends_a_way_is_a_broken_connection(end: OSError, chunked: bool) -> None:
    raw: Any = Broken(b"4\r\nsome\r\n" if chunked else b"some", end, chunked=chunked)
    chunks = Stream(cast(requests.Response, SimpleNamespace(raw=raw))).chunks()
    assert next(chunks) == b"some"
    with pytest.raises(ConnectionError):
        next(chunks)
