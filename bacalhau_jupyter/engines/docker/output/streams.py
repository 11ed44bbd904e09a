"""The body of an answer that comes bit by bit: a container's log, a pull's progress, events."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from io import DEFAULT_BUFFER_SIZE, BufferedReader
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import requests

A = TypeVar("A")
T = TypeVar("T")

READ_SIZE = 1 << 16
LARGE = 1 << 18
"""Bytes read at a time where files come: about what the buffer of a socket holds."""
_MAX_HEAD = 4096


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
        return map(bytes, self.pieces(READ_SIZE))

    def pieces(self, size: int = LARGE) -> Iterator[memoryview]:
        """Yield what has arrived, up to ``size`` bytes at a time; each piece is gone when the next one is asked for.

        No byte is copied but by the kernel, and to close the gaps between chunks. Raises as `chunks`.
        """
        raw: Any = self._response.raw
        source: Any = getattr(raw, "_fp", None)
        if getattr(source, "chunked", False) and getattr(source, "fp", None) is not None:
            yield from _unchunked(source.fp, size)
            return
        while data := _received(raw.read1, size):
            yield memoryview(data)

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


def _received(read: Callable[[A], T], argument: A) -> T:
    """Read what has arrived; whatever ends a way is a broken connection.

    Where packets vanish that is a `TimeoutError`, where a network is gone "no route to host", and with TLS an
    `ssl.SSLError`: only an `OSError` each, like an error of our own disk.
    """
    try:
        return read(argument)
    except ConnectionError:
        raise
    except OSError as error:
        raise ConnectionError(f"the Docker Engine's answer broke off: {error}") from error


def _unchunked(file: BufferedReader, most: int) -> Iterator[memoryview]:
    """Undo HTTP's chunked encoding, as many chunks at a time as have arrived.

    The engine sends each line of a log as a separate chunk, and files in chunks of 32 KiB. Other readers return one
    chunk at a time, and then each line is demultiplexed and written by itself (decision 0040 has the figures).

    Raises
    ------
    ConnectionError
        The answer ended early, or is not chunked properly.
    """
    buffer = bytearray(max(most, 2 * _MAX_HEAD, DEFAULT_BUFFER_SIZE))
    view = memoryview(buffer)
    # What came with the head of the answer. From here on the file has nothing read ahead, and is passed by: its own
    # readinto1 waits for more when it has.
    first = _received(file.read1, len(buffer))
    view[: len(first)] = first
    end = len(first)
    # What is left of a chunk and of the line end behind it, or of a head that was cut.
    left = skipped = kept = 0
    while end > kept:
        filled = min(left, end)
        left -= filled
        start = filled
        if skipped and not left:
            start += min(skipped, end - start)
            skipped -= start - filled
        size = 1
        while start < end and (line := buffer.find(b"\r\n", start, end)) >= 0:
            size = _chunk_size(buffer[start:line])
            if size == 0:
                break
            start = line + 2
            stop = start + size
            after = filled + (stop if stop <= end else end) - start
            view[filled:after] = view[start : min(stop, end)]
            filled, start = after, stop + 2
        if start > end:
            left, skipped, start = max(stop - end, 0), min(start - end, 2), end
        rest = bytes(view[start:end])
        if filled:
            yield view[:filled]
        if size == 0:
            return
        if len(rest) > _MAX_HEAD:
            raise _malformed()
        kept = len(rest)
        view[:kept] = rest
        end = kept + (_received(file.raw.readinto, view[kept:]) or 0)
    raise ConnectionError("the Docker Engine's answer ended early")


def _chunk_size(head: bytearray) -> int:
    try:
        size = int(head, 16)
    except ValueError:
        try:
            size = int(head.partition(b";")[0], 16)
        except ValueError:
            raise _malformed() from None
    if size < 0:
        raise _malformed()
    return size


def _malformed() -> ConnectionError:
    return ConnectionError("the Docker Engine's answer is not chunked properly")
