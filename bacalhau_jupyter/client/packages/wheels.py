"""A wheel that was built inside a job: what it must be before anything here reads it.

Code of strangers made it. So its names, tags, metadata and hashes are checked, and what uv gets is an archive that is
written here of the entries that were checked: no two programs can read two different wheels in it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bacalhau_jupyter.client.packages.failures import COMPONENT
from bacalhau_jupyter.client.packages.requirements import Required
from bacalhau_jupyter.client.packages.targets import Target
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.names import shown

if TYPE_CHECKING:
    from packaging.tags import Tag

MAX_WHEEL = 2_000_000_000
"""Bytes of a wheel, and of all that it unpacks to."""
_MAX_ENTRIES = 100_000
_MAX_TEXT = 20_000_000
_MAX_NAME = 1000
_FILE_NAME = re.compile(r"[A-Za-z0-9_.+!-]{1,200}\.whl")
_BLOCK = 1 << 20
_TO_WRITE: Literal["w"] = "w"
"""Of an entry in an archive: bytes, always."""
_URL_NEEDED = re.compile(rb"requires-dist[ \t]*:[^\r\n]*@", re.IGNORECASE)
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True)
class BuiltWheel:
    """A wheel that may be installed.

    Attributes
    ----------
    name, version
        As they are written on the index.
    path
        Where it lies.
    sha256
        Of the file.
    """

    name: str
    version: str
    path: Path
    sha256: str


class _Refused(Exception):
    """Says what is wrong with a wheel."""


def checked_wheel(source: Path, file_name: str, required: Required, target: Target, into: Path) -> BuiltWheel:
    """Check what a build left, and write it anew; blocks.

    Parameters
    ----------
    source
        The file.
    file_name
        What the build called it.
    required
        What was to be built.
    target
        The Python that is to import it.
    into
        The directory for the checked wheel.

    Raises
    ------
    BadRequest
        It is no wheel of this package for this Python.
    """
    try:
        version = _named(file_name, required, target)
        path = into / file_name
        with zipfile.ZipFile(source) as archive:
            _rewrite(archive, required.name, version, path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except _Refused as error:
        reason = str(error)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        reason = f"it can't be read ({type(error).__name__})"
    else:
        return BuiltWheel(required.name, version, path, sha256)
    raise BadRequest(
        f"what the build of {required.name} left is no wheel of it: {reason}",
        component=COMPONENT,
        hint="the package's own build made it; an older version may have a wheel, or an image may hold it (--image)",
    )


def _named(file_name: str, required: Required, target: Target) -> str:
    """Return the version that a file's name says, once the name fits."""
    from packaging.requirements import Requirement
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        if not _FILE_NAME.fullmatch(file_name):
            raise InvalidWheelFilename
        name, version, _, tags = parse_wheel_filename(file_name)
    except (InvalidWheelFilename, ValueError):
        raise _Refused(f"{shown(file_name[:80])!r} is no name of one") from None
    if name != required.name:
        raise _Refused(f"it is called {name}")
    specifier = Requirement(required.text).specifier
    # A source package of a version that is not final is taken where nothing else is there.
    if not specifier.contains(version, prereleases=True):
        raise _Refused(f"its version {version} is not {specifier}")
    if tags.isdisjoint(supported_tags(target)):
        raise _Refused(f"{file_name} is not for {target.words}")
    return str(version)


def supported_tags(target: Target) -> set[Tag]:
    """Return the tags of wheels that a Python takes, as its words describe it."""
    from packaging.tags import compatible_tags, cpython_tags

    words = target.words.split()
    numbers = re.match(r"(\d+)\.(\d+)", words[1])
    if numbers is None:
        return set()
    python = (int(numbers[1]), int(numbers[2]))
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(words[-1].lower(), words[-1].lower())
    platforms = list(_platforms(target.words, machine))
    interpreter = f"cp{python[0]}{python[1]}"
    return {*cpython_tags(python, platforms=platforms), *compatible_tags(python, interpreter, platforms)}


def _platforms(words: str, machine: str) -> Iterator[str]:
    yield f"linux_{machine}"
    if "musl" in words:
        yield from (f"musllinux_1_{minor}_{machine}" for minor in range(3))
        return
    libc = re.search(r"glibc 2\.(\d+)", words)
    for minor in range(int(libc[1]) if libc else 17, 4, -1):
        yield f"manylinux_2_{minor}_{machine}"
    yield from (f"{old}_{machine}" for old in ("manylinux2014", "manylinux2010", "manylinux1"))


# ---- what is inside


def _rewrite(archive: zipfile.ZipFile, name: str, version: str, path: Path) -> None:
    """Write the entries of a wheel to a new one; raises `_Refused` at the first that is wrong."""
    entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES:
        raise _Refused(f"it has more than {_MAX_ENTRIES:,} files")
    if sum(entry.file_size for entry in entries) > MAX_WHEEL:
        raise _Refused(f"it unpacks to more than {format_bytes(MAX_WHEEL)}")
    for entry in entries:
        _check_entry(entry)
    files = {entry.filename: entry for entry in entries if not entry.is_dir()}
    if len({entry.filename.rstrip("/") for entry in entries}) != len(entries):
        raise _Refused("two of its files have one name")
    info = _info_directory(files, name, version)
    _check_metadata(_text(archive, files, f"{info}/METADATA"), name, version)
    _check_tags(_text(archive, files, f"{info}/WHEEL"), path.name)
    record = _recorded(_text(archive, files, f"{info}/RECORD"))
    unsigned = {f"{info}/{each}" for each in ("RECORD", *_SIGNATURES)}
    if absent := sorted(set(record) - set(files)):
        raise _Refused(f"RECORD lists {shown(absent[0][:80])}, which is not there")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as written:
        for entry in files.values():
            expected = None if entry.filename in unsigned else record.get(entry.filename)
            if expected is None and entry.filename not in unsigned:
                raise _Refused(f"RECORD does not list {shown(entry.filename[:80])}")
            digest = _copied(archive, entry, written)
            if expected is not None and digest != expected:
                raise _Refused(f"RECORD has another hash of {shown(entry.filename[:80])}")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    parts = name.removesuffix("/").split("/")
    # `orig_filename` is what stands in the archive: what follows a zero byte was cut off.
    plain = name == entry.orig_filename and name.isprintable() and "\\" not in name and len(name) <= _MAX_NAME
    if not plain or any(part in ("", ".", "..") for part in parts):
        raise _Refused(f"{shown(entry.orig_filename[:80])!r} is no name for a file in it")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _Refused(f"{shown(name[:80])} is no plain file")


def _info_directory(files: Mapping[str, zipfile.ZipInfo], name: str, version: str) -> str:
    tops = sorted({each.partition("/")[0] for each in files if "/" in each})
    special = [top for top in tops if top.lower().endswith((".dist-info", ".data"))]
    if any(not _is_of(top.rpartition(".")[0], name, version) for top in special):
        raise _Refused("it holds the metadata of another package")
    infos = [top for top in special if top.endswith(".dist-info")]
    if len(infos) != 1 or len(special) > 2:
        raise _Refused("it does not hold its metadata once")
    return infos[0]


def _is_of(stem: str, name: str, version: str) -> bool:
    from packaging.utils import canonicalize_name, canonicalize_version

    stem_name, _, stem_version = stem.rpartition("-")
    return canonicalize_name(stem_name) == name and canonicalize_version(
        stem_version.replace("_", "-")
    ) == canonicalize_version(version)


def _text(archive: zipfile.ZipFile, files: Mapping[str, zipfile.ZipInfo], name: str) -> str:
    entry = files.get(name)
    if entry is None or entry.file_size > _MAX_TEXT:
        raise _Refused(f"it has no {name.rpartition('/')[2]}")
    return archive.read(entry).decode("utf-8")


def _headers(text: str) -> Message:
    return HeaderParser().parsestr(text)


def _check_metadata(text: str, name: str, version: str) -> None:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name, canonicalize_version

    headers = _headers(text)
    names = [canonicalize_name(str(each)) for each in headers.get_all("Name", ())]
    versions = [canonicalize_version(str(each)) for each in headers.get_all("Version", ())]
    if names != [name] or versions != [canonicalize_version(version)]:
        raise _Refused("its metadata is that of another package")
    try:
        needed = [Requirement(str(each)) for each in headers.get_all("Requires-Dist", ())]
    except InvalidRequirement:
        raise _Refused("its metadata names what can't be read") from None
    # uv would fetch the URL, and the package may name any server there.
    if any(each.url for each in needed) or _URL_NEEDED.search(text.encode()):
        raise _Refused("it needs a package from a URL")


def _check_tags(text: str, file_name: str) -> None:
    from packaging.tags import parse_tag
    from packaging.utils import parse_wheel_filename

    tags = {tag for line in _headers(text).get_all("Tag", ()) for tag in parse_tag(str(line).strip())}
    if tags != set(parse_wheel_filename(file_name)[3]):
        raise _Refused("its tags are not those of its name")


def _recorded(text: str) -> dict[str, str]:
    """Return the hash of each file that ``RECORD`` lists; empty where it has none."""
    rows = [row for row in csv.reader(text.splitlines()) if row]
    record = {row[0]: row[1] if len(row) > 1 else "" for row in rows}
    if len(record) != len(rows):
        raise _Refused("RECORD lists a file twice")
    return record


def _copied(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, written: zipfile.ZipFile) -> str:
    """Copy an entry; return its hash as ``RECORD`` has it."""
    digest = hashlib.sha256()
    copy = zipfile.ZipInfo(entry.filename)
    copy.external_attr = (stat.S_IFREG | (0o755 if entry.external_attr >> 16 & 0o100 else 0o644)) << 16
    copy.create_system = 3
    with archive.open(entry) as data, written.open(copy, _TO_WRITE, force_zip64=True) as file:
        while block := data.read(_BLOCK):
            digest.update(block)
            file.write(block)
    return "sha256=" + base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
