"""Inputs of this machine that are not on their way yet: they travel when the job is submitted.

How they travel depends on the cluster (`client.jobs.sending`): small ones inside the job, others as uploads. Until then
the job holds a `PendingInput`, which shows the name and size of what will travel. The object itself is the proof that
this process asked for it: a spec that somebody else wrote can't name a file of this machine.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.names import to_wire
from bacalhau_jupyter.models.records.progress import Progress

PENDING = "upload"
"""Type of an input that has not travelled yet; no node knows it."""

PHASE = "uploading"

FileKey = tuple[int, ...]
"""Device, inode, size and times of a file: equal as long as it stays as it is."""


class Content(Protocol):
    """What an input will hold.

    Attributes
    ----------
    name
        File name.
    size
        Bytes, or an estimate.
    is_archive
        Whether it is a tar to unpack.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def is_archive(self) -> bool: ...

    def key(self) -> FileKey | None:
        """Return what tells that the content is the same as before; None where nothing does."""
        ...

    def write(self, path: Path, progress: Progress, stop: threading.Event) -> None:
        """Write it to an empty file. Blocks.

        Raises
        ------
        BadRequest
            It can't be read, or changed meanwhile.
        OSError
            The file can't be written.
        """
        ...

    def inline(self) -> bytes | Mapping[str, bytes]:
        """Return it, or its files where it is an archive. Blocks; raises BadRequest as `write`."""
        ...


class PendingInput(InputSource, frozen=True, kw_only=True, dict=True):
    """An input that travels when its job is submitted."""

    @property
    def content(self) -> Content:
        """What it will hold."""
        content: Content = self.__dict__["content"]
        return content


def pending(content: Content, to: str, what: str) -> PendingInput:
    """Return an input for a content: a file at ``to``, or a directory there."""
    params = {"Name": to_wire(content.name), "Bytes": content.size}
    made = PendingInput(source=SpecConfig(type=PENDING, params=params), alias=to_wire(what), target=to)
    made.__dict__["content"] = content
    return made
