"""The binary encoding of WebAssembly: numbers, names, sections."""

from __future__ import annotations

from dataclasses import dataclass, field

_MOST_BITS = 64
_TYPED_REFERENCES = (0x63, 0x64)


class Damaged(ValueError):
    """A module breaks off, or holds a number that can't be."""


@dataclass
class Reader:
    """Reads one item after the other. Methods raise `Damaged`.

    Attributes
    ----------
    data
        The whole file.
    at, end
        Where the next item begins, and where the last one must have ended.
    """

    data: bytes
    at: int = 0
    end: int = field(default=-1)

    def __post_init__(self) -> None:
        self.end = len(self.data) if self.end < 0 else self.end

    @property
    def has_more(self) -> bool:
        """Whether the end is not reached."""
        return self.at < self.end

    def byte(self) -> int:
        """Read one byte."""
        if not self.has_more:
            raise Damaged("it ends too early")
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        """Read a number in LEB128."""
        value = 0
        for shift in range(0, _MOST_BITS, 7):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
        raise Damaged("a number in it is too large")

    def count(self) -> int:
        """Read how many items follow; each has a byte at least."""
        count = self.number()
        if count > self.end - self.at:
            raise Damaged("it ends too early")
        return count

    def section(self) -> Reader:
        """Pass over a number of bytes that is written before them; return a reader of these."""
        size = self.count()
        self.at += size
        return Reader(self.data, self.at - size, self.at)

    def text(self) -> str:
        """Read a name; raises `UnicodeDecodeError` too."""
        section = self.section()
        return self.data[section.at : section.end].decode()

    def limits(self) -> int:
        """Read the limits of a memory or a table; return the smallest size."""
        flags = self.byte()
        smallest = self.number()
        if flags & 1:
            self.number()
        if flags & 8:
            self.number()
        return smallest

    def value_type(self) -> None:
        """Pass over a type."""
        if self.byte() in _TYPED_REFERENCES:
            self.number()
