"""The body of an answer that comes bit by bit: a container's log, a pull's progress, events."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from io import BufferedReader
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

READ_SIZE = 1 << 16


class Stream:
    """The body of an answer, as it comes; `abort` may be called from any thread."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._response.close()

    def chunks(self) -> Iterator[bytes]:
        """Yield what has arrived, at once, until the engine ends the answer.

        Raises
        ------
        ConnectionError
            The way to the engine broke.
        """
        raw: Any = self._response.raw
        source: Any = getattr(raw, "_fp", None)
        if getattr(source, "chunked", False) and getattr(source, "fp", None) is not None:
            yield from _unchunked(source.fp)
            return
        while data := _read1(raw):
            yield data

    def abort(self) -> None:
        """Make `chunks` end with an error, now."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            self._response.raw.shutdown()


def json_lines(stream: Stream) -> Iterator[dict[str, Any]]:
    """Yield the events of an answer, each a line of JSON."""
    rest = b""
    for chunk in stream.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, map(bytes.strip, lines)):
            yield json.loads(line)
    if rest.strip():
        yield json.loads(rest)


def _read1(source: Any) -> bytes:
    """Read what has arrived; whatever ends a way is a broken connection.

    Where packets vanish that is a `TimeoutError`, where a network is gone "no route to host", and with TLS an
    `ssl.SSLError`: only an `OSError` each, like an error of our own disk.
    """
    try:
        data: bytes = source.read1(READ_SIZE)
    except ConnectionError:
        raise
    except OSError as error:
        raise ConnectionError(f"the Docker Engine's answer broke off: {error}") from error
    return data


def _unchunked(file: BufferedReader) -> Iterator[bytes]:
    """Undo HTTP's chunked encoding, as many chunks at a time as have arrived.

    The engine sends each line of a log as a separate chunk. Other readers return one chunk at a time, and then each
    line is demultiplexed and written by itself (decision 0040 has the figures).

    Raises
    ------
    ConnectionError
        The answer ended early, or is not chunked properly.
    """
    buffer = bytearray()
    while data := _read1(file):
        buffer += data
        start, chunks = 0, list[bytes]()
        while (line := buffer.find(b"\r\n", start)) >= 0:
            try:
                size = int(buffer[start:line].partition(b";")[0], 16)
            except ValueError:
                raise ConnectionError("the Docker Engine's answer is not chunked properly") from None
            if size == 0:
                yield b"".join(chunks)
                return
            end = line + 2 + size
            if end + 2 > len(buffer):
                break
            chunks.append(bytes(buffer[line + 2 : end]))
            start = end + 2
        del buffer[:start]
        if chunks:
            yield b"".join(chunks)
    raise ConnectionError("the Docker Engine's answer ended early")
