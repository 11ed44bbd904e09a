"""Headers of members: the quick way reads what `tarfile` reads, whatever they hold."""

from __future__ import annotations

import random
import tarfile
from typing import Any, Literal

import pytest

from bacalhau_jupyter.engines.images.unpacking.headers import Header
from bacalhau_jupyter.engines.images.unpacking.layer import layer_name
from bacalhau_jupyter.models.errors import IOFailure

READ = ("name", "mode", "uid", "gid", "size", "mtime", "chksum", "type", "linkname")
FORMS: tuple[Literal[0, 1], ...] = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT)
KINDS = (b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"S", b"L", b"x", b"\0")
FIELDS = (
    (0, 100),
    (100, 8),
    (108, 8),
    (116, 8),
    (124, 12),
    (136, 12),
    (148, 8),
    (157, 100),
    (329, 16),
    (345, 155),
)
PIECES = (b"\0", b" ", b"7", b"8", b"-", b"_", b"0o", b"/", b"\x80", b"\xff", b"\t")


def block_of(kind: bytes, source: random.Random, form: Literal[0, 1]) -> bytearray:
    info = tarfile.TarInfo(source.choice(("a", "usr/bin/x", "d/", "é", "x" * 100, "y/" * 60 + "z")))
    info.type, info.linkname = kind, source.choice(("", "a", "../b"))
    info.mode, info.uid, info.gid = source.choice((0o644, 0o7777, 0)), source.choice((0, 1000, 1 << 21)), 0
    info.size, info.mtime = source.choice((0, 5, 1 << 33)), source.choice((0, 1_700_000_000))
    return bytearray(info.tobuf(form, "utf-8", "surrogateescape")[:512])


def sealed(block: bytearray, source: random.Random) -> bytes:
    """Return the block with a checksum that fits, in one of the ways to write it; sometimes with one that does not."""
    total = sum(block) - sum(block[148:156]) + 256
    form = source.choice((b"%06o\0 ", b"%06o \0", b"%07o\0", b" %05o\0 ", b"%06o\x01 "))
    if source.random() < 0.9:
        block[148:156] = form % total
    return bytes(block)


def read(kind: type[tarfile.TarInfo], block: bytes) -> Any:
    try:
        header = kind.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        return type(error)
    return {field: getattr(header, field) for field in READ}


@pytest.mark.parametrize("seed", range(8))
def test_a_header_is_read_as_tarfile_reads_it(seed: int) -> None:
    source = random.Random(seed)
    for _ in range(1500):
        form = source.choice(FORMS)
        try:
            block = block_of(source.choice(KINDS), source, form)
        except ValueError:
            continue  # this format has no way to write that
        for _ in range(source.choice((0, 0, 1, 3))):
            start, size = source.choice(FIELDS)
            at = start + source.randrange(size)
            piece = source.choice(PIECES)[: start + size - at]
            block[at : at + len(piece)] = piece
        whole = sealed(block, source)
        assert read(Header, whole) == read(tarfile.TarInfo, whole), whole


def test_usual_headers_take_the_quick_way() -> None:
    source = random.Random(1)
    for kind in (b"0", b"1", b"2", b"5"):
        info = tarfile.TarInfo("usr/share/x")
        info.type = kind
        assert Header._usual(info.tobuf()[:512], "utf-8", "surrogateescape") is not None
    assert (
        Header._usual(bytes(block_of(b"3", source, tarfile.USTAR_FORMAT)), "utf-8", "surrogateescape") is None
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("usr/bin/x", "usr/bin/x"),
        ("a.b-c_d+e", "a.b-c_d+e"),
        ("./a//b/", "a/b"),
        ("/a", "a"),
        ("a/.hidden", "a/.hidden"),
        (".", ""),
        ("a" * 255, "a" * 255),
        ("é", "é"),
        ("a\n", "a\n"),
    ],
)
def test_a_name_means_the_same_on_both_ways(name: str, expected: str) -> None:
    assert layer_name(name) == expected


@pytest.mark.parametrize("name", ["../a", "a/../b", "a/..", "..", "a\0b", "a" * 256])
def test_a_name_that_leads_outside_is_refused_on_both_ways(name: str) -> None:
    with pytest.raises(IOFailure):
        layer_name(name)
