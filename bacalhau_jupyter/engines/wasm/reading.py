"""A module's file, read piece by piece: of all that wait to be compiled, no module is in the node's memory."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import NamedTuple

from bacalhau_jupyter.engines.wasm import headers
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, IOFailure
from bacalhau_jupyter.models.jobs.units import format_bytes

MAX_MODULE = 256 * 1024 * 1024
_PIECE = 1 << 20


class Unreadable(Exception):
    """A file that was to be compiled can't be read any more, or is no longer the one that was looked at.

    Attributes
    ----------
    error
        What its own execution is told.
    """

    def __init__(self, error: BacalhauError) -> None:
        super().__init__(str(error))
        self.error = error


class Content(NamedTuple):
    """What was read of a module: its SHA-256 in hexadecimal digits, and its size in bytes."""

    digest: str
    size: int


def content(descriptor: int, name: str) -> Content:
    """Read a module to its end. Blocks.

    Parameters
    ----------
    descriptor
        The open file.
    name
        What errors call it.

    Raises
    ------
    EngineError
        It is no module, or too large.
    IOFailure
        It can't be read.
    """
    try:
        # Whoever opened it may close it while this thread reads.
        own = os.dup(descriptor)
    except OSError as error:
        raise _unread(name, error) from error
    try:
        return _read(own, name, lambda piece: None)
    finally:
        os.close(own)


def copy(descriptor: int, target: int, name: str, expected: Content) -> None:
    """Write a module to another descriptor. Blocks.

    Parameters
    ----------
    expected
        What `content` has said of it.

    Raises
    ------
    Unreadable
        It has changed since, or can't be read.
    OSError
        It can't be written.
    """

    def write(piece: bytes) -> None:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(target, rest) :]

    try:
        read = _read(descriptor, name, write)
    except BacalhauError as error:
        raise Unreadable(error) from error
    if read != expected:
        raise Unreadable(
            EngineError(
                f"the module {name!r} has changed while it waited to be compiled",
                fails_execution=True,
                retryable=True,
            )
        )


def _read(descriptor: int, name: str, use: Callable[[bytes], None]) -> Content:
    hashed, size = hashlib.sha256(), 0
    # Where the file stands belongs to everybody who has it open.
    while piece := _piece(descriptor, size, name):
        if not size and (problem := headers.problem(piece[: headers.SIZE])):
            raise _failed(f"the module {name!r} {problem}")
        size += len(piece)
        if size > MAX_MODULE:
            raise _failed(f"the module {name!r} is larger than {format_bytes(MAX_MODULE)}")
        hashed.update(piece)
        use(piece)
    if not size:
        raise _failed(f"the module {name!r} {headers.problem(b'')}")
    return Content(hashed.hexdigest(), size)


def _piece(descriptor: int, offset: int, name: str) -> bytes:
    try:
        return os.pread(descriptor, _PIECE, offset)
    except OSError as error:
        raise _unread(name, error) from error


def _unread(name: str, error: OSError) -> IOFailure:
    return IOFailure(f"the module {name!r} can't be read: {error.strerror}", fails_execution=True)


def _failed(message: str) -> EngineError:
    return EngineError(message, fails_execution=True, fails_job=True)
