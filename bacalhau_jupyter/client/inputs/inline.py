"""Data that travels inside the job: files, directories and bytes of the client's side."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from bacalhau_jupyter.lib.trees import MAX_DEPTH, walk
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.names import is_text, shown, to_wire
from bacalhau_jupyter.models.spec import InputSource, SpecConfig

INLINE_LIMIT = 6 * 1024 * 1024
"""Bytes of inline data a job may carry: the API takes bodies up to 10 MB, and base64 adds a third."""

_TOO_BIG_HINT = "put the data where the node can read it: an allow-listed path (file://…), a URL or S3"


def inline(data: bytes | str, to: str, *, what: str = "") -> InputSource:
    """Ship bytes with the job; the job sees one file at ``to``.

    Raises
    ------
    BadRequest
        More than `INLINE_LIMIT` bytes.
    """
    raw = data.encode() if isinstance(data, str) else bytes(data)
    return _source("application/octet-stream", raw, to, what or f"the input for {to}")


def inline_files(files: Mapping[str, bytes], to: str, *, what: str = "") -> InputSource:
    """Ship several small files; the job sees a directory at ``to``.

    Raises
    ------
    BadRequest
        Packed, they have more than `INLINE_LIMIT` bytes.
    """
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        parents = {str(parent) for name in files for parent in Path(name).parents} - {"."}
        for directory in sorted(parents):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            archive.addfile(entry, io.BytesIO(data))
    return _source("application/gzip", out.getvalue(), to, what or f"the files for {to}")


def upload(path: Path, to: str | None) -> InputSource:
    """Ship a file or directory of this machine; a file lands at ``/inputs/NAME``, a directory at ``/inputs``.

    Raises
    ------
    BadRequest
        It can't be read, or it is too large to travel inside a request.
    """
    try:
        if path.is_dir():
            # Links are followed once: a link to a file is its contents, one to a directory is left out.
            paths = (path / entry.path for entry in walk(path.resolve(), deepest=MAX_DEPTH) if entry.path)
            files = {item.relative_to(path).as_posix(): item for item in paths if item.is_file()}
            size = sum(item.stat().st_size for item in files.values())
            # Data that doesn't compress at all is the worst case; four times the limit never fits in practice.
            if size > 4 * INLINE_LIMIT:
                raise BadRequest(
                    f"{path} has {size:,} bytes, too much to send inside a job", hint=_TOO_BIG_HINT
                )
            packed = {name: item.read_bytes() for name, item in files.items()}
            return inline_files(packed, to or "/inputs", what=str(path))
        if path.stat().st_size > INLINE_LIMIT:
            raise BadRequest(
                f"{path} has {path.stat().st_size:,} bytes; a job carries {INLINE_LIMIT:,}",
                hint=_TOO_BIG_HINT,
            )
        if to is None and not is_text(path.name):
            # No target in a spec could say so; in an archive names may be anything.
            return inline_files({path.name: path.read_bytes()}, "/inputs", what=str(path))
        return inline(path.read_bytes(), to or f"/inputs/{path.name}", what=str(path))
    except OSError as error:
        raise BadRequest(f"-i/--input: {shown(str(path))} can't be read: {error.strerror}") from error


def _source(media_type: str, raw: bytes, to: str, what: str) -> InputSource:
    if len(raw) > INLINE_LIMIT:
        raise BadRequest(f"{what} has {len(raw):,} bytes; a job carries {INLINE_LIMIT:,}", hint=_TOO_BIG_HINT)
    text = f"data:{media_type};base64,{base64.b64encode(raw).decode()}"
    return InputSource(source=SpecConfig(type="inline", params={"URL": text}), alias=to_wire(what), target=to)
