"""What a node remembers of the inputs that it keeps on a Docker host: a small file of its own directory."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec


class KeptInput(msgspec.Struct, frozen=True):
    """One input in a volume of the engine.

    Attributes
    ----------
    digest
        Of its content (`cargo`).
    used_ns
        When a job last got it, Unix nanoseconds.
    """

    volume: str
    digest: str
    size: int
    files: int
    used_ns: int


_DECODER = msgspec.json.Decoder(list[KeptInput])


class KeptIndex:
    """The inputs that are kept, by volume; not for several threads at a time.

    What can't be read or written is forgotten: then an input is sent once more.

    Parameters
    ----------
    path
        Where they are remembered.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inputs: dict[str, KeptInput] = {}
        with contextlib.suppress(OSError, msgspec.DecodeError):
            self._inputs = {kept.volume: kept for kept in _DECODER.decode(path.read_bytes())}

    def __iter__(self) -> Iterator[KeptInput]:
        return iter(list(self._inputs.values()))

    def __contains__(self, volume: str) -> bool:
        return volume in self._inputs

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(kept.size for kept in self._inputs.values())

    def like(self, size: int, files: int) -> list[KeptInput]:
        """Return those that have so many bytes and files."""
        return [kept for kept in self if (kept.size, kept.files) == (size, files)]

    def oldest_first(self) -> list[KeptInput]:
        """Return all, those that were not used for the longest time first."""
        return sorted(self, key=lambda kept: kept.used_ns)

    def put(self, kept: KeptInput) -> None:
        """Remember one, or that it was used."""
        self._inputs[kept.volume] = kept
        self._save()

    def drop(self, volume: str) -> None:
        """Forget one."""
        if self._inputs.pop(volume, None) is not None:
            self._save()

    def _save(self) -> None:
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        with contextlib.suppress(OSError):
            try:
                draft.touch(0o600)
                draft.write_bytes(msgspec.json.encode(list(self._inputs.values())))
                Path(draft).replace(self._path)
            finally:
                draft.unlink(missing_ok=True)
