"""Where a node keeps the environments that were registered: one small file each, readable by its user only."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import uuid
from pathlib import Path

from bacalhau_jupyter.engines.process.environments.check import CheckedPath, NotShown, Registered, check
from bacalhau_jupyter.engines.process.environments.forbidden import Forbidden
from bacalhau_jupyter.engines.supervised.confinement.pinned import Changed, open_again
from bacalhau_jupyter.lib.clock import boot_id
from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.environments import PythonDescription, environment_hash

MAX_ENVIRONMENTS = 200
"""How many are kept; the ones registered longest ago go first."""
MAX_RECORD = 1024 * 1024
_NAME = re.compile(r"[0-9a-f]{64}")


class Registry:
    """The environments of one node. Threads may share it.

    Parameters
    ----------
    directory
        Where they are kept; created when the first one is.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writing = threading.Lock()
        self._boot = boot_id()

    def register(self, description: PythonDescription, forbidden: Forbidden) -> Registered:
        """Check an environment and keep it; what is kept under its name already is looked at again.

        Raises
        ------
        NotShown
            It can't be shown to jobs.
        OSError
            It can't be written down.
        """
        earlier = self.find(environment_hash(description))
        if earlier is not None:
            # The walk for sockets takes longer than all the rest, so an unchanged environment is spared it.
            with contextlib.suppress(NotShown):
                if earlier == check(description, forbidden, boot=self._boot, sockets=earlier.sockets):
                    os.utime(self._file(earlier.name))
                    return earlier
        registered = check(description, forbidden, boot=self._boot)
        self._write(registered)
        return registered

    def find(self, name: str) -> Registered | None:
        """Return an environment by its name; None if it is not registered."""
        if not _NAME.fullmatch(name):
            return None
        try:
            return decode(self._file(name).read_bytes(), Registered)
        except (OSError, BadRequest):
            return None

    def all(self) -> list[Registered]:
        """Return every environment, by name."""
        try:
            names = sorted(entry.name.partition(".")[0] for entry in self._directory.iterdir())
        except OSError:
            return []
        return [registered for name in names if (registered := self.find(name)) is not None]

    def verify(self, registered: Registered, forbidden: Forbidden) -> list[CheckedPath]:
        """Make sure that everything of an environment is what it was, and may still be shown; return what it is now.

        Raises
        ------
        NotShown
            With the reason.
        """
        places = []
        for place in registered.places:
            try:
                descriptor = open_again(place.real, self.device(registered, place.device), place.inode)
            except Changed as reason:
                raise NotShown(str(reason)) from None
            try:
                info = os.fstat(descriptor)
            finally:
                os.close(descriptor)
            if said := forbidden.place(Path(place.real), info):
                raise NotShown(f"does not show {place.real} to jobs: {said}")
            places.append(replace(place, device=info.st_dev, inode=info.st_ino))
        return places

    def device(self, registered: Registered, device: int) -> int:
        """Return a device's number for comparison; 0 where the machine was started anew since."""
        return device if registered.boot and registered.boot == self._boot else 0

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.json"

    def _write(self, registered: Registered) -> None:
        data = encode(registered)
        if len(data) > MAX_RECORD:
            raise NotShown("can't keep so large an environment (Engine.Params.Python)")
        with self._writing:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = self._directory / f".{uuid.uuid4().hex}"
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                draft.replace(self._file(registered.name))
            finally:
                draft.unlink(missing_ok=True)
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        kept = []
        for entry in self._directory.glob("*.json"):
            with contextlib.suppress(OSError):
                kept.append((entry.stat().st_mtime_ns, entry))
        for _, entry in sorted(kept)[:-MAX_ENVIRONMENTS]:
            entry.unlink(missing_ok=True)
