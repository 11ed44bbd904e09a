"""Headers of a layer's members, as `tarfile` reads them, and faster where they are of the usual kind.

Layers hold tens of thousands of small files, and `tarfile` spends more time on the header of one than the kernel does
on the file.
"""

from __future__ import annotations

import tarfile

_USUAL = frozenset((tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE))
_ENDS = b"\0 "
_ZEROS = b"0\0 "


class Header(tarfile.TarInfo):
    """A member; names of users and groups are left out."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        """Read a header's block; raises what `tarfile.TarInfo.frombuf` raises."""
        header = cls._usual(bytes(buf), encoding, errors)
        return super().frombuf(buf, encoding, errors) if header is None else header

    @classmethod
    def _usual(cls, block: bytes, encoding: str, errors: str) -> Header | None:
        """Read a block of ordinary numbers and short names; None: `tarfile` is to look at it."""
        kind = block[156:157]
        if (
            len(block) != tarfile.BLOCKSIZE
            or kind not in _USUAL
            or block[345]  # the first part of a long name
            or block[154]
            or block[329:345].strip(_ZEROS)  # numbers of a device
            or not all(block[end] in _ENDS for end in (107, 115, 123, 135, 147))
        ):
            return None
        try:
            checksum = int(block[148:154], 8)
            if checksum != sum(block) - sum(block[148:156]) + 256:
                return None
            header = cls(block[:100].partition(b"\0")[0].decode(encoding, errors))
            header.mode = int(block[100:107], 8)
            header.uid = int(block[108:115], 8)
            header.gid = int(block[116:123], 8)
            header.size = int(block[124:135], 8)
            header.mtime = int(block[136:147], 8)
        except ValueError:
            return None
        header.chksum = checksum
        header.type = kind
        header.linkname = block[157:257].partition(b"\0")[0].decode(encoding, errors)
        if kind == tarfile.DIRTYPE:
            header.name = header.name.rstrip("/")
        return header
