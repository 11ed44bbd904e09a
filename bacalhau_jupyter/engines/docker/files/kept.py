"""Inputs that stay on a Docker host, so that they are sent once: each in a volume that jobs can only read.

An input is recognised by its content. Where none that is kept has as many files and bytes, it is sent at once, and its
digest is that of what went out. Else it is read here first, and sent only if none has the same digest. A volume counts
from the moment on that all of it has arrived; what was left half-way is removed. One that is being removed is given to
nobody: the engine makes an empty one where a container asks for one that is gone. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.engines.docker.files.cargo import Outline
from bacalhau_jupyter.engines.docker.files.kept_index import KeptIndex, KeptInput
from bacalhau_jupyter.engines.docker.params import LABEL_NODE
from bacalhau_jupyter.engines.docker.registry.pulls import Abort
from bacalhau_jupyter.engines.docker.sharing.owners import owner_labels
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.records.node import DiskUsage

LABEL_KEPT = "bacalhau-keptInput"
FILE = "kept-inputs.json"
LIMIT = 20 << 30
"""Bytes of a host's disk that the kept inputs of one node may take; the input of a job that runs goes beyond it."""
LEAST = 1 << 20
"""Bytes that an input must have to be kept: what is smaller is sent as quickly."""


@dataclass(frozen=True)
class Volume:
    """A volume of the engine, and where it lies on its disk."""

    name: str
    place: str

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Volume:
        """Read what the engine says of a volume."""
        return cls(str(description["Name"]), str(description["Mountpoint"]))


class InputsLost(Exception):
    """Volumes went before a container held them."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__(f"volumes {', '.join(names)} are gone")
        self.names = names


class KeptInputs:
    """The kept inputs of one node on one engine; safe to use from several threads.

    Parameters
    ----------
    directory
        The node's own, which remembers them.
    limit
        Bytes that they may take.
    """

    def __init__(
        self, daemon: Daemon, node_id: str, directory: Path, clock: Clock, *, limit: int = LIMIT
    ) -> None:
        self._daemon = daemon
        self._labels = {LABEL_NODE: node_id, LABEL_KEPT: "1"}
        self._prefix = f"bacalhau-{node_id}-kept"
        self._clock = clock
        self._limit = limit
        self._index = KeptIndex(directory / FILE)
        self._changed = threading.Condition()
        self._sending: set[Outline] = set()
        self._held: Counter[str] = Counter()
        self._going: set[str] = set()
        self._is_swept = False

    @contextlib.contextmanager
    def claim(self, outlines: Collection[Outline], abort: Abort) -> Iterator[None]:
        """Be the only one to look for, and to send, inputs of these outlines.

        Raises
        ------
        EngineError
            Aborted while another execution sent something that may be the same.
        """
        claimed = set(outlines)
        abort.on_request(self._wake)
        with self._changed:
            # All at once: nobody who has one waits for another.
            self._changed.wait_for(lambda: abort.requested or not claimed & self._sending)
            abort.check()
            self._sending |= claimed
        try:
            yield
        finally:
            with self._changed:
                self._sending -= claimed
                self._changed.notify_all()

    def may_have(self, outline: Outline) -> bool:
        """Whether one that is kept could be the same."""
        with self._changed:
            return bool(self._index.like(outline.size, outline.files))

    def take(self, outline: Outline, digest: str) -> Volume | None:
        """Return the volume that holds this content, and hold it; None where there is none."""
        while (kept := self._hold(outline, digest)) is not None:
            try:
                volume = self._look(kept.volume)
            except BaseException:
                self.release(kept.volume)
                raise
            with self._changed:
                if volume is not None:
                    self._index.put(msgspec.structs.replace(kept, used_ns=self._clock.now_ns()))
                    return volume
                self._index.drop(kept.volume)
            self.release(kept.volume)
        return None

    def verify(self, volumes: Iterable[Volume]) -> None:
        """Make sure that volumes which a container has got by their names are still those that were given out.

        Raises
        ------
        InputsLost
            Another program had removed some, so that the engine made empty ones; they are forgotten.
        """
        lost = [volume.name for volume in volumes if self._look(volume.name) is None]
        if lost:
            with self._changed:
                for name in lost:
                    self._index.drop(name)
            raise InputsLost(lost)

    def discard(self, volumes: Iterable[str]) -> None:
        """Remove what the engine made in place of lost volumes; what a container uses stays."""
        for name in volumes:
            self._remove(name)

    def fresh(self) -> Volume:
        """Make an empty volume, and hold it."""
        self.sweep()
        name = f"{self._prefix}-{secrets.token_hex(8)}"
        with self._changed:
            self._held[name] += 1
        return Volume.of(
            self._daemon.api.create_volume(name, driver="local", labels=self._labels | owner_labels())
        )

    def keep(self, volume: Volume, outline: Outline, digest: str) -> None:
        """Say that all of an input has arrived in a volume; older ones go where there is too much."""
        now_ns = self._clock.now_ns()
        with self._changed:
            self._index.put(KeptInput(volume.name, digest, outline.size, outline.files, now_ns))
        self._evict(self._limit)

    def release(self, *volumes: str) -> None:
        """Let go of volumes: a container holds those that are used."""
        with self._changed:
            self._held.subtract(volumes)
            self._held += Counter()

    def give_up(self, *volumes: str) -> None:
        """Remove volumes that were not filled, now or at the next chance."""
        with self._changed:
            self._is_swept = False
        self.release(*volumes)
        with contextlib.suppress(Exception):
            self._daemon.check_reachable()
            for name in volumes:
                self._daemon.remove_volume(name)

    def clear(self) -> DiskUsage:
        """Remove what no container uses; return what is gone."""
        with self._changed:
            self._is_swept = False
        self.sweep()
        return self._evict(0)

    def _evict(self, limit: int) -> DiskUsage:
        removed = count = 0
        with self._changed:
            oldest_first = self._index.oldest_first()
        for kept in oldest_first:
            with self._changed:
                if self._index.size <= limit:
                    break
                if self._held[kept.volume] or kept.volume in self._going:
                    continue
                self._going.add(kept.volume)
            is_gone = False
            try:
                is_gone = self._remove(kept.volume)
            finally:
                with self._changed:
                    self._going.discard(kept.volume)
                    if is_gone:
                        self._index.drop(kept.volume)
            if is_gone:
                removed += kept.size
                count += 1
        return DiskUsage(bytes=removed, count=count)

    def _hold(self, outline: Outline, digest: str) -> KeptInput | None:
        """Hold one that has this content and stays, under the same lock as the choice of what goes."""
        with self._changed:
            for kept in self._index.like(outline.size, outline.files):
                if kept.digest == digest and kept.volume not in self._going:
                    self._held[kept.volume] += 1
                    return kept
        return None

    def sweep(self) -> None:
        """Remove volumes that nobody filled to the end, once after each failure and at the beginning."""
        with self._changed:
            if self._is_swept:
                return
            self._is_swept = True
        for volume in self._daemon.volumes(*self._labels.items()):
            name = str(volume["Name"])
            with self._changed:
                is_wanted = name in self._index or self._held[name] > 0
            if not is_wanted and not self._remove(name):
                self._is_swept = False

    def _remove(self, name: str) -> bool:
        """Remove a volume; False where a container uses it."""
        from docker.errors import APIError

        try:
            self._daemon.remove_volume(name)
        except APIError as error:
            if error.status_code != 409:
                raise
            return False
        return True

    def _look(self, name: str) -> Volume | None:
        from docker.errors import NotFound

        try:
            description = self._daemon.api.inspect_volume(name)
        except NotFound:
            return None
        # The engine makes an empty one where a container asks for one that is gone.
        labels = description.get("Labels") or {}
        return Volume.of(description) if labels.items() >= self._labels.items() else None

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
