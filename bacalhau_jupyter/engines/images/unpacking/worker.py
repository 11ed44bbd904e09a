"""The process that unpacks: it takes orders from its standard input, one a line, and may write below one directory.

It ends when the node does (its standard input ends), and may be killed at any time: what it was making is removed by
whoever ordered it.
"""

from __future__ import annotations

import ctypes
import gzip
import os
import queue
import sys
import tarfile
import threading
import time
import zlib
from pathlib import Path
from typing import BinaryIO

import msgspec

from bacalhau_jupyter.engines.images.unpacking.layer import LayerUnpacker
from bacalhau_jupyter.engines.images.unpacking.merging import Merger
from bacalhau_jupyter.engines.images.unpacking.orders import (
    Layer,
    MergeOrder,
    OpenOrder,
    Reply,
    UnpackOrder,
    refused,
)
from bacalhau_jupyter.engines.images.unpacking.streams import GZIP, LayerStream
from bacalhau_jupyter.engines.supervised.confinement import landlock
from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.transfer.archive.unpacking import Limits, unpack_into
from bacalhau_jupyter.transfer.core.files import io_failure

_TELL_EVERY_S = 0.1
_ORDERS = msgspec.json.Decoder(UnpackOrder | MergeOrder | OpenOrder)
_PR_SET_NO_NEW_PRIVS = 38
_BROKEN = (tarfile.TarError, EOFError, ValueError, IndexError, OverflowError, RecursionError)


class Counter:
    """Counts bytes and tells of them: of those that were read now and then, of those that are written at once."""

    def __init__(self) -> None:
        self._done = self._unpacked = 0
        self._told_at = time.monotonic()

    def count(self, size: int) -> None:
        """Note that so many more compressed bytes were read."""
        self._done += size
        if (now := time.monotonic()) - self._told_at >= _TELL_EVERY_S:
            self._told_at = now
            self._tell()

    def unpacked(self, size: int) -> None:
        """Note that so many bytes are unpacked, or are about to be: whoever keeps the quota has to know."""
        self._unpacked = size
        self._tell()

    def _tell(self) -> None:
        tell(Reply(done=self._done, size=self._unpacked))


def tell(reply: Reply) -> None:
    """Write one line."""
    line = memoryview(msgspec.json.encode(reply) + b"\n")
    while line:
        line = line[os.write(1, line) :]


def unpack(order: UnpackOrder) -> Layer:
    """Unpack a layer, and compare its digests with what was said.

    Raises
    ------
    BacalhauError, OSError
        It is not what was said, broken, hostile or too large; the disk is full.
    """
    counter = Counter()
    try:
        with LayerStream(Path(order.source), counter.count) as stream:
            unpacker = LayerUnpacker(
                stream, Path(order.target), order.owner, order.max_bytes, counter.unpacked
            )
            layer = unpacker.unpack()
            stream.finish()
    except _BROKEN as error:
        raise refused(f"a layer is broken: {str(error) or type(error).__name__}") from error
    if order.size not in (-1, stream.size):
        raise refused(f"a layer has {stream.size:,} bytes, and {order.size:,} were announced")
    if order.digest not in ("", stream.digest):
        raise refused(f"a layer has the digest {stream.digest[:12]}…, and {order.digest[:12]}… was announced")
    if order.diff_id not in ("", stream.diff_id):
        raise refused(
            f"the contents of a layer have the digest {stream.diff_id[:12]}…, and its configuration "
            f"announces {order.diff_id[:12]}…"
        )
    return msgspec.structs.replace(layer, digest=stream.digest, diff_id=stream.diff_id)


def merge(order: MergeOrder) -> int:
    """Put layers on top of each other; return the bytes that this took.

    Raises
    ------
    BacalhauError, OSError
        A link leads nowhere; the disk is full.
    """
    merger = Merger(order.target, order.owner)
    for directory, layer in order.layers:
        merger.add(directory, layer)
    return merger.size


def open_archive(order: OpenOrder) -> int:
    """Unpack an archive of images; return the bytes of its files.

    Raises
    ------
    BacalhauError, OSError
        It is broken, hostile or too large; the disk is full.
    """
    with Path(order.source).open("rb") as source:
        if not _begins_as_tar(source):
            raise BadRequest(
                f"{Path(order.source).name} is not an archive",
                hint="an image in a file is what `docker save` wrote, or an OCI layout in a tar file, plain or gzip",
            )
        report = unpack_into(source, Path(order.target), limits=Limits(max_bytes=order.max_bytes))
    return report.size


def _begins_as_tar(source: BinaryIO) -> bool:
    """Whether a file, or what gzip unpacks of it, begins with a member's header; it is at its beginning again."""
    try:
        plain = gzip.GzipFile(fileobj=source) if source.read(len(GZIP)) == GZIP else source
        source.seek(0)
        tarfile.TarInfo.frombuf(plain.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
    except (tarfile.HeaderError, gzip.BadGzipFile, EOFError, zlib.error):
        return False
    finally:
        source.seek(0)
    return True


def obey(line: bytes) -> Reply:
    """Do what one line orders; return the last line of the answer."""
    try:
        order = _ORDERS.decode(line)
    except (msgspec.DecodeError, ValueError) as error:
        return _unexpected(error)
    try:
        if isinstance(order, UnpackOrder):
            return Reply(layer=unpack(order), is_last=True)
        size = merge(order) if isinstance(order, MergeOrder) else open_archive(order)
        return Reply(size=size, is_last=True)
    except BacalhauError as error:
        return Reply(
            error=error.message, hint=error.hint, code=error.code, is_full=is_full(error), is_last=True
        )
    except OSError as error:
        failure = io_failure(error, "unpack an image into", Path(order.target), "Images")
        return Reply(
            error=failure.message, hint=failure.hint, code=failure.code, is_full=is_full(error), is_last=True
        )
    except MemoryError:
        return Reply(error="unpacking the image takes more memory than there is", is_last=True)
    except Exception as error:
        # A fault of ours that some image brings about: the next one finds this process in order.
        return _unexpected(error)


def _unexpected(error: Exception) -> Reply:
    return Reply(
        error=f"unpacking the image failed unexpectedly ({type(error).__name__})",
        hint="this is a fault of the program: please report it, with the image's name",
        is_last=True,
    )


def confine(root: str) -> None:
    """Let this process write below one directory only, and use no network, where the kernel can do that."""
    version = landlock.abi()
    if not version:
        return
    rules = [("/", landlock.READ), (root, landlock.WRITE), (os.devnull, landlock.DEVICE)]
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    landlock.restrict(landlock.ruleset(version, rules, network=False))


def main() -> None:
    """Take orders until the node goes."""
    confine(sys.argv[1])
    os.umask(0o077)
    lines: queue.Queue[bytes] = queue.Queue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    try:
        while True:
            tell(obey(lines.get()))
    finally:
        # The thread that listens would keep the interpreter from ending.
        os._exit(1)


if __name__ == "__main__":
    main()
