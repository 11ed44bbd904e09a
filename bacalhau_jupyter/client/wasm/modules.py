"""Modules of a WebAssembly job: files of this machine and addresses become inputs, anything else lies in one."""

from __future__ import annotations

import csv
import io
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bacalhau_jupyter.client.inputs.contents import FileContent, bytes_content
from bacalhau_jupyter.client.inputs.inline import SMALL, inline
from bacalhau_jupyter.client.inputs.pending import Content, FileKey, pending
from bacalhau_jupyter.client.inputs.uri import is_here, parse_reference, path_here, split_input
from bacalhau_jupyter.client.inputs.uri_hints import nearest_file
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.progress import Progress
from bacalhau_jupyter.models.webassembly.module import Module
from bacalhau_jupyter.models.webassembly.reading import read_module

ENTRY_TARGET = "main.wasm"
"""Where the entry module lies, as official clients say it."""

ENTRY = "the entry module"
IMPORTED = "-I/--import-modules"


@dataclass(frozen=True)
class Placed:
    """A module and its place in the job.

    Attributes
    ----------
    target
        Where it lies there.
    source
        The input that brings it; None where another input holds it.
    module
        What it says of itself; None where it is not on this machine.
    what
        What to call it in errors.
    """

    target: str
    source: InputSource | None = None
    module: Module | None = None
    what: str = ""


def placed(text: str, default_target: str, flag: str) -> Placed:
    """Find a module: ``FILE[:TARGET]``, an address, or the place where an input holds it.

    Raises
    ------
    BadRequest
        It has no target, can't be read, or nodes can't run it.
    """
    path, target = _file_of(text)
    if path is not None:
        return of_file(path, _target(target or default_target, text, flag), target)
    if "://" not in text:
        return Placed(text, what=shown(text))
    fields = split_input(text, takes_relative=True)
    uri, target = fields.uri or "", fields.target or ""
    if not target:
        # `https://host:8080/lib.wasm:lib.wasm`: a port stands before the path, a target behind it.
        head, slash, name = uri.rpartition("/")
        name, _, target = name.partition(":")
        uri = f"{head}{slash}{name}"
    target = _target(target or default_target, text, flag)
    options = [f"opt={key}={value}" for key, value in fields.options.items()]
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([f"src={uri}", f"dst={target}", *options])
    return Placed(target, parse_reference(line.getvalue(), takes_relative=True), what=shown(uri))


def of_file(path: Path, target: str, what: str = "") -> Placed:
    """Place a file of this machine.

    Raises
    ------
    BadRequest
        It can't be read, or nodes can't run it.
    """
    try:
        content = _File(FileContent.of(path))
        data = content.file.inline()
    except OSError as error:
        raise BadRequest(f"{shown(str(path))} can't be read: {error.strerror}") from error
    module = read_module(data, shown(path.name))
    source = (
        inline(data, target, what=str(path)) if len(data) <= SMALL else pending(content, target, str(path))
    )
    return Placed(target, source, module, shown(path.name))


def of_bytes(data: bytes, target: str) -> Placed:
    """Place a module that this process has.

    Raises
    ------
    BadRequest
        Nodes can't run it.
    """
    module = read_module(data, ENTRY)
    if len(data) <= SMALL:
        source = inline(data, target)
    else:
        source = pending(bytes_content(PurePosixPath(target).name, data), target, target)
    return Placed(target, source, module, ENTRY)


def is_within(name: str, targets: Sequence[str]) -> bool:
    """Whether a place lies at, or below, one of the targets of inputs."""
    place = _plain(name)
    return any(place == top or place.is_relative_to(top) for top in map(_plain, targets))


def same_place(one: str, other: str) -> bool:
    """Whether two names mean one place: with and without the leading slash."""
    return _plain(one) == _plain(other)


def check_is_held(module: Placed, targets: Sequence[str], flag: str) -> None:
    """Refuse a module that no input holds.

    Raises
    ------
    BadRequest
        There is no such input, and no such file here.
    """
    if module.source is not None or is_within(module.target, targets):
        return
    if module.target.startswith("/"):
        hint = f"-i brings it: -i s3://bucket/lib.wasm:{shown(module.target)}"
    else:
        hint = nearest_file(path_here(module.target))
    raise BadRequest(
        f"{flag} {shown(module.target)}: there is no such file here, and no input of the job holds it",
        hint=hint,
    )


def _file_of(text: str) -> tuple[Path | None, str]:
    """Return the file of this machine that a text names, and the target behind it."""
    for name, target in ((text, ""), _split(text)):
        if name and "://" not in name and is_here(path := path_here(name)):
            return path, target
    return None, ""


def _split(text: str) -> tuple[str, str]:
    name, colon, target = text.rpartition(":")
    return (name, target) if colon else ("", "")


def _target(target: str, text: str, flag: str) -> str:
    if not target:
        raise BadRequest(
            f"{flag} {shown(text)} has no target",
            hint=f"write the name by which it is imported: {text}:lib.wasm",
        )
    if ".." in PurePosixPath(target).parts or not target.strip("/"):
        raise BadRequest(f"{flag}: {shown(target)} can't be the place of a module in the job")
    return target


def _plain(target: str) -> PurePosixPath:
    return PurePosixPath(os.path.normpath("/" + target.strip().lstrip("/")))


@dataclass(frozen=True)
class _File:
    """A module's file. Inside a job it travels packed, as with official clients: it is a third then."""

    file: FileContent
    is_archive: bool = False

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def size(self) -> int:
        return self.file.size

    def key(self) -> FileKey | None:
        return self.file.key()

    def write(self, path: Path, progress: Progress, stop: threading.Event) -> None:
        self.file.write(path, progress, stop)

    def inline(self) -> bytes | Mapping[str, bytes]:
        name = self.name if self.name.endswith(".wasm") else f"{self.name}.wasm"
        return {name: self.file.inline()}


_: type[Content] = _File
