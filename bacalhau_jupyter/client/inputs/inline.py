"""Data that travels inside the job: files, directories and bytes of the client's side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from bacalhau_jupyter.client.inputs.contents import FileContent, FilesContent, FolderContent, pack_files
from bacalhau_jupyter.client.inputs.pending import pending
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.names import is_text, shown, to_wire
from bacalhau_jupyter.transfer.archive.data_urls import encode_data_url

INLINE_LIMIT = 6 * 1024 * 1024
"""Bytes of inline data a job may carry: the API takes bodies up to 10 MB, and base64 adds a third."""

LINK_LIMIT = 960 * 1024
"""Bytes of a whole job on a cluster without uploads: an official orchestrator passes 1 MiB to its nodes in a message,
and a job beyond that blocks the ones behind it."""

SMALL = 32 * 1024
"""Bytes that always travel inside a job."""

SEVERAL = 384 * 1024
"""Bytes of several files of our own that always travel inside a job."""

_TOO_BIG_HINT = "write it to a file and pass that (-i PATH): files of any size are sent ahead of the job"


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
    pack_files(files, out)
    return _source("application/gzip", out.getvalue(), to, what or f"the files for {to}")


def ship_files(files: Mapping[str, bytes], to: str, *, what: str) -> InputSource:
    """Ship several files of any size; the job sees a directory at ``to``."""
    content = FilesContent("files.tar.gz", files)
    return pending(content, to, what) if content.size > SEVERAL else inline_files(files, to, what=what)


def upload(path: Path, to: str | None) -> InputSource:
    """Ship a file or directory of this machine; a file lands at ``/inputs/NAME``, a directory at ``/inputs``.

    What is small travels inside the job; the rest is sent when the job is submitted (`pending`).

    Raises
    ------
    BadRequest
        It can't be read, or is neither a file nor a directory.
    """
    try:
        if path.is_dir():
            folder = FolderContent.of(path)
            if folder.size > SMALL:
                return pending(folder, to or "/inputs", str(path))
            return inline_files(folder.inline(), to or "/inputs", what=str(path))
        content = FileContent.of(path)
        if to is None and not is_text(path.name):
            # No target in a spec could say so; in an archive names may be anything.
            alone = FolderContent.of(path.parent, path.name)
            if alone.size > SMALL:
                return pending(alone, "/inputs", str(path))
            return inline_files(alone.inline(), "/inputs", what=str(path))
        if content.size > SMALL:
            return pending(content, to or f"/inputs/{path.name}", str(path))
        return inline(content.inline(), to or f"/inputs/{path.name}", what=str(path))
    except OSError as error:
        raise BadRequest(f"-i/--input: {shown(str(path))} can't be read: {error.strerror}") from error


def _source(media_type: str, raw: bytes, to: str, what: str) -> InputSource:
    if len(raw) > INLINE_LIMIT:
        raise BadRequest(f"{what} has {len(raw):,} bytes; a job carries {INLINE_LIMIT:,}", hint=_TOO_BIG_HINT)
    text = encode_data_url(raw, media_type)
    return InputSource(source=SpecConfig(type="inline", params={"URL": text}), alias=to_wire(what), target=to)
