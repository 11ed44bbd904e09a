"""The stream of a saved image without some of its layers: nothing of it is ever kept as a whole.

Two forms exist. Since Docker Engine 25 layers are ``blobs/sha256/<digest>``, and of the engine's own store the digest
is the diff ID. Before, each layer is a directory ``<ID>/`` with ``json`` and ``layer.tar``, sorted by name;
the list that says which layer that is, ``manifest.json``, comes last. But the ID is the SHA-256 of ``json`` and the
layer's chain ID together: trying those of the image tells which one it is. What can't be told is sent.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import IO, BinaryIO, cast

import msgspec

from bacalhau_jupyter.engines.docker.carrying.plan import chain_ids

BLOCK = 1 << 18
"""Bytes read, and sent, at a time."""
_BLOBS = "blobs/sha256/"
_DESCRIPTION, _LAYER = "json", "layer.tar"
_LARGEST_DESCRIPTION = 1 << 22
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class BlockFile:
    """Chunks of bytes as a file that is read forward."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()

    def read(self, size: int) -> bytes:
        """Return so many bytes; fewer at the end."""
        while len(self._buffer) < size and (chunk := next(self._chunks, b"")):
            self._buffer += chunk
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


class Thinner:
    """Passes a saved image on.

    Parameters
    ----------
    layers
        The diff IDs of the image, lowest first.
    left_out
        Those that are left out.
    on_left_out
        Gets the size of each one that was.

    Attributes
    ----------
    passed
        How many layers have been sent or left out.
    """

    def __init__(
        self, layers: Sequence[str], left_out: Collection[str], on_left_out: Callable[[int], None]
    ) -> None:
        self._layers = tuple(layers)
        self._chains = chain_ids(layers)
        self._left_out = left_out
        self._on_left_out = on_left_out
        self._known: dict[str, str] = {}
        self.passed = 0

    def blocks(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the tar of what is sent.

        Raises
        ------
        tarfile.TarError
            The stream is not a tar file, or ends early.
        """
        source = cast(IO[bytes], BlockFile(chunks))
        with tarfile.open(fileobj=source, mode="r|", bufsize=BLOCK) as tar:
            for member in tar:
                yield from self._entry(tar, member)
                self.passed += self._is_layer(member.name.removeprefix("./"))
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _entry(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
        name = member.name.removeprefix("./")
        if self._layer(name) in self._left_out:
            self._on_left_out(member.size)
            return
        header = member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        file = tar.extractfile(member) if member.isreg() else None
        if file is None:
            yield header
            return
        folder, slash, last = name.rpartition("/")
        if slash and last == _DESCRIPTION and member.size <= _LARGEST_DESCRIPTION and self._left_out:
            data = file.read()
            self._known[folder] = self._described(folder, data)
            yield header + data
        else:
            yield header
            yield from _content(cast(BinaryIO, file), member.size)
        yield bytes(-member.size % tarfile.BLOCKSIZE)

    def _is_layer(self, name: str) -> bool:
        return name.rpartition("/")[2] == _LAYER or self._layer(name) in self._layers

    def _layer(self, name: str) -> str:
        """Return the diff ID of the layer that a member is; empty where it is not a layer, or can't be told."""
        if name.startswith(_BLOBS):
            return f"sha256:{name.removeprefix(_BLOBS)}"
        folder, _, last = name.rpartition("/")
        return self._known.get(folder, "") if last == _LAYER else ""

    def _described(self, folder: str, data: bytes) -> str:
        """Return which layer a directory of the older form is for; empty where it can't be told."""
        try:
            fields = _FIELDS.decode(data)
        except msgspec.DecodeError:
            return ""
        for layer, chain in zip(self._layers, self._chains, strict=True):
            # The engine added the system after it had made the ID, except for the topmost layer.
            if folder in (_layer_id(fields, chain), _layer_id(fields, chain, "os")):
                return layer
        return ""


def _layer_id(fields: dict[str, msgspec.Raw], chain: str, *without: str) -> str:
    """Return the ID that an engine makes of a layer's description and its chain ID."""
    hashed = {name: bytes(value) for name, value in fields.items() if name not in ("id", *without)}
    hashed["layer_id"] = msgspec.json.encode(chain)
    if "parent" in hashed:
        hashed["parent"] = msgspec.json.encode(f"sha256:{msgspec.json.decode(hashed['parent'], type=str)}")
    parts = (msgspec.json.encode(name) + b":" + hashed[name] for name in sorted(hashed))
    return hashlib.sha256(b"{" + b",".join(parts) + b"}").hexdigest()


def _content(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size:
        data = file.read(min(BLOCK, size))
        if not data:
            raise tarfile.ReadError("the saved image ends early")
        size -= len(data)
        yield data
