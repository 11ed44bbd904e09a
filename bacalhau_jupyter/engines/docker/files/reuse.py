"""Which inputs of one execution get volumes that stay on the host, and which of those are filled. Everything blocks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

from bacalhau_jupyter.engines.docker.files import cargo
from bacalhau_jupyter.engines.docker.files.kept import LEAST, KeptInputs, Volume
from bacalhau_jupyter.engines.docker.registry.pulls import Abort
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import Progress


@dataclass(frozen=True)
class StayingVolume:
    """A volume that stays; ``is_filled`` says whether an earlier execution has filled it."""

    volume: Volume
    is_filled: bool


class Reuse:
    """Holds the volumes until the execution's containers do; to be entered once.

    Parameters
    ----------
    items
        The inputs, by their places.

    Attributes
    ----------
    volumes
        Those that stay, by place.
    """

    def __init__(
        self, kept: KeptInputs, items: Mapping[str, cargo.Item], progress: Progress, abort: Abort
    ) -> None:
        self.volumes: dict[str, StayingVolume] = {}
        self._kept = kept
        self._items = items
        self._progress = progress
        self._abort = abort
        self._outlines: dict[str, cargo.Outline] = {}
        self._claims = ExitStack()

    def __enter__(self) -> Reuse:
        check = self._abort.check
        for place, item in self._items.items():
            if item.mount.read_only and (outline := cargo.outline(item, check)).size >= LEAST:
                self._outlines[place] = outline
        self._claims.enter_context(self._kept.claim(self._outlines.values(), self._abort))
        try:
            for place in self._outlines:
                self.volumes[place] = self._chosen(place)
        except BaseException:
            self._let_go(all_arrived=False)
            raise
        if there := sum(self._outlines[place].size for place, it in self.volumes.items() if it.is_filled):
            self._progress(Reading(cargo.PHASE, note=f"{format_bytes(there)} are there already"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go(all_arrived=error is None)

    def verify(self) -> None:
        """Make sure that a container has got the volumes that stay, and not empty ones; raises `InputsLost`."""
        self._kept.verify(shared.volume for shared in self.volumes.values())

    def arrived(self, digests: Mapping[str, str]) -> None:
        """Say that all that was to be sent is there, and what it was."""
        for place, shared in self.volumes.items():
            if not shared.is_filled:
                self._kept.keep(shared.volume, self._outlines[place], digests[place])

    def _chosen(self, place: str) -> StayingVolume:
        outline = self._outlines[place]
        if self._kept.may_have(outline):
            digest = cargo.digest(self._items[place], self._progress, self._abort.check)
            if (volume := self._kept.take(outline, digest)) is not None:
                return StayingVolume(volume, is_filled=True)
        return StayingVolume(self._kept.fresh(), is_filled=False)

    def _let_go(self, *, all_arrived: bool) -> None:
        self._claims.close()
        for shared in self.volumes.values():
            if all_arrived or shared.is_filled:
                self._kept.release(shared.volume.name)
            else:
                self._kept.give_up(shared.volume.name)
