"""The store of packages: drafts become sets, each once, within a quota; the longest unused go first.

Methods block, except those that say so; threads may share the store. What jobs that are not over use never goes.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.lib.text import read_text, write_text
from bacalhau_jupyter.models.codec import Wire, always, decode, encode
from bacalhau_jupyter.models.errors import BadRequest, IOFailure, NotFound, ResourceExhausted
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.packages import (
    KeepPackages,
    PackagesState,
    distributions_of,
    is_request,
    is_set,
    set_hash,
)
from bacalhau_jupyter.packages.tree import measured, settle

QUOTA = "Packages.Quota"
RENEW_AFTER = "Packages.RenewAfter"

DRAFT_AGE_S = 24 * 3600.0
"""Seconds after which a draft goes that nobody finished."""
ABANDONED_S = 3600.0
"""Seconds after which a draft makes room for new ones: its kernel is gone, or it would be done."""
FRESH_S = 600.0
"""Seconds that a set stays in any case after it was asked for: its job is about to be submitted."""
NAMED_S = 30.0
"""Seconds that a set stays after it was asked for, also when a person makes room."""
MAX_DRAFTS = 16
_MIN_FREE = 500_000_000
_NAME = re.compile(r"[\w-]{1,128}")
_FULL_HINT = "free some space there; `Packages.Quota` says how much packages may take"


class About(Wire):
    """What is known of a set."""

    target: str = always("")
    locked: list[str] = always([])
    bytes: int = always(0)


@dataclass(frozen=True)
class Limits:
    """How much is kept for how long.

    Attributes
    ----------
    quota
        Bytes of all sets and downloads; 0: no limit.
    renew_after_s
        Seconds after which a request is resolved again.
    min_free
        Bytes of the disk that stay free.
    """

    quota: int
    renew_after_s: float
    min_free: int = _MIN_FREE


class PackageStore:
    """Keeps sets of packages.

    Parameters
    ----------
    root
        Its directory; made when the first draft is.
    limits
        How much is kept.
    clock
        Tells how old a resolution is.
    free
        Tells the free bytes of the disk of a path.
    """

    def __init__(self, root: Path, limits: Limits, *, clock: Clock, free: Callable[[Path], int]) -> None:
        self._root = root
        self._limits = limits
        self._clock = clock
        self._free = free
        self._lock = threading.Lock()
        self._usage = DiskUsage(limit=limits.quota)

    def open(self) -> None:
        """Take up what is there since an earlier run; what is half removed goes."""
        with self._lock:
            remove_tree(self._root / "leaving")
            self._drop_old_drafts()
            self._count()

    def usage(self) -> DiskUsage:
        """Say how much is kept; does not block."""
        return self._usage

    # ---- for the node's own user

    def find(self, request: str) -> PackagesState:
        """Return the set that a request was resolved to not long ago; else a new draft.

        Raises
        ------
        BadRequest
            That is no request.
        IOFailure, ResourceExhausted
            There is no room for a draft.
        """
        if not is_request(request):
            raise BadRequest("a request for packages is named by the hexadecimal digits of its hash")
        name = self._resolved(request)
        about = self._about(name)
        if about is not None:
            self._touch(name)
            return _state(name, about)
        with self._lock:
            return self._begin()

    def keep(self, draft: str, order: KeepPackages, unfinished: Collection[str]) -> PackagesState:
        """Turn a draft into a set; return its name.

        Parameters
        ----------
        draft
            Its name.
        order
            What lies in it.
        unfinished
            IDs of executions that are not over: what they use stays.

        Raises
        ------
        BacalhauError
            The draft is not there, is too large, or holds something else than files.
        """
        place = self._draft(draft)
        try:
            site = place / "site"
            size, files = settle(site, self._room()) if site.is_dir() else (0, [])
            if not files:
                raise BadRequest("the draft holds no packages")
            name = set_hash(order.target, order.locked, files)
            about = About(target=order.target, locked=order.locked, bytes=size)
            with self._lock:
                if self._about(name) is None:
                    self._settle(place, name, about)
                self._note(order.request, name)
                self._touch(name)
                self._make_room(unfinished, keep=name)
        except OSError as error:
            raise _failed(error) from error
        finally:
            remove_tree(place)
        return _state(name, about)

    def drop(self, draft: str) -> None:
        """Give a draft up."""
        remove_tree(self._draft(draft))

    def clear(self, unfinished: Collection[str]) -> DiskUsage:
        """Remove everything that no job uses; return what is gone."""
        with self._lock:
            before = self._usage
            if not self._drafts():
                remove_tree(self._root / "cache")
            for name in self._sets():
                if not self._is_used(name, unfinished, fresh_s=NAMED_S):
                    self._remove(name)
            self._count()
            return DiskUsage(bytes=before.bytes - self._usage.bytes, count=before.count - self._usage.count)

    # ---- for jobs

    def site(self, name: str) -> Path | None:
        """Return the directory of a set; None if it is not there."""
        return None if self._about(name) is None else self._root / "sets" / name / "site"

    def note_use(self, name: str, execution_id: str) -> None:
        """Let a set stay until an execution is over."""
        if not _NAME.fullmatch(execution_id):
            raise BadRequest(f"{execution_id!r} is no execution's ID")
        with self._lock:
            uses = self._root / "sets" / name / "uses"
            try:
                uses.mkdir(mode=0o700, exist_ok=True)
                (uses / execution_id).touch(0o600)
            except FileNotFoundError:
                raise _gone(name) from None
            self._touch(name)

    # ---- below

    def _resolved(self, request: str) -> str:
        file = self._root / "requests" / request
        try:
            age_s = self._clock.now_ns() / SECOND - file.stat().st_mtime
            name = read_text(file).strip()
        except OSError:
            return ""
        return name if age_s + 1 >= 0 and age_s <= self._limits.renew_after_s else ""

    def _about(self, name: str) -> About | None:
        if not is_set(name):
            return None
        try:
            return decode((self._root / "sets" / name / "about.json").read_bytes(), About)
        except (OSError, BadRequest):
            return None

    def _begin(self) -> PackagesState:
        self._drop_old_drafts()
        if len(self._drafts()) >= MAX_DRAFTS:
            self._drop_old_drafts(ABANDONED_S)
        if len(self._drafts()) >= MAX_DRAFTS:
            raise ResourceExhausted(
                f"{MAX_DRAFTS} sets of packages are being fetched already",
                hint="try again when one of them is there",
            )
        draft = uuid.uuid4().hex
        place, cache = self._root / "drafts" / draft, self._root / "cache"
        try:
            for directory in (place, cache, self._root / "sets", self._root / "requests"):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            room = self._room()
        except OSError as error:
            raise _failed(error) from error
        if room <= 0:
            remove_tree(place)
            raise IOFailure("there is no room for packages on the node's disk", hint=_FULL_HINT, status=507)
        return PackagesState(draft=draft, directory=str(place / "site"), cache=str(cache), room=room)

    def _room(self) -> int:
        free = self._free(self._root) - self._limits.min_free
        return min(free, self._limits.quota) if self._limits.quota else free

    def _draft(self, name: str) -> Path:
        place = self._root / "drafts" / name
        if not _NAME.fullmatch(name) or not place.is_dir():
            raise NotFound("this draft of packages is not there", hint="run the cell again")
        return place

    def _settle(self, place: Path, name: str, about: About) -> None:
        (place / "about.json").write_bytes(encode(about))
        target = self._root / "sets" / name
        if target.exists():
            self._remove(name)
        place.rename(target)

    def _note(self, request: str, name: str) -> None:
        if is_request(request):
            file = self._root / "requests" / request
            write_text(file, name)
            now_s = self._clock.now_ns() / SECOND
            os.utime(file, (now_s, now_s))

    def _touch(self, name: str) -> None:
        now_s = self._clock.now_ns() / SECOND
        with contextlib.suppress(OSError):
            os.utime(self._root / "sets" / name / "about.json", (now_s, now_s))

    def _make_room(self, unfinished: Collection[str], keep: str) -> None:
        self._count()
        if self._fits():
            return
        if not self._drafts():
            remove_tree(self._root / "cache")
            self._count()
        for name in self._sets():
            if self._fits():
                break
            if name != keep and not self._is_used(name, unfinished, fresh_s=FRESH_S):
                self._remove(name)
                self._count()

    def _fits(self) -> bool:
        return not self._limits.quota or self._usage.bytes <= self._limits.quota

    def _is_used(self, name: str, unfinished: Collection[str], *, fresh_s: float) -> bool:
        uses = self._root / "sets" / name / "uses"
        try:
            executions = {entry.name for entry in uses.iterdir()}
        except OSError:
            executions = set()
        for over in executions.difference(unfinished):
            (uses / over).unlink(missing_ok=True)
        used_s = self._used_s(name)
        return not executions.isdisjoint(unfinished) or self._clock.now_ns() / SECOND - used_s < fresh_s

    def _used_s(self, name: str) -> float:
        try:
            return (self._root / "sets" / name / "about.json").stat().st_mtime
        except OSError:
            return 0.0

    def _sets(self) -> list[str]:
        """Return the names of all sets, the longest unused first."""
        return sorted(_names(self._root / "sets"), key=lambda name: (self._used_s(name), name))

    def _drafts(self) -> list[str]:
        return _names(self._root / "drafts")

    def _drop_old_drafts(self, age_s: float = DRAFT_AGE_S) -> None:
        for name in self._drafts():
            place = self._root / "drafts" / name
            with contextlib.suppress(OSError):
                if self._clock.now_ns() / SECOND - place.stat().st_mtime > age_s:
                    remove_tree(place)

    def _remove(self, name: str) -> None:
        """Remove a set; one rename first, so that no job finds half of it."""
        leaving = self._root / "leaving"
        leaving.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(OSError):
            (self._root / "sets" / name).rename(leaving / uuid.uuid4().hex)
        remove_tree(leaving)

    def _count(self) -> None:
        count = len(_names(self._root / "sets"))
        size = measured(self._root) if count or self._root.is_dir() else 0
        self._usage = DiskUsage(bytes=size, count=count, limit=self._limits.quota)


def _names(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return []


def _state(name: str, about: About) -> PackagesState:
    return PackagesState(set=name, bytes=about.bytes, distributions=distributions_of(about.locked))


def _gone(name: str) -> NotFound:
    return NotFound(
        f"this node has no packages {name[:12]}", hint="run the cell again with --pip: it fetches them anew"
    )


def _failed(error: OSError) -> IOFailure:
    if is_full(error):
        return IOFailure("there is no room for the packages on the node's disk", hint=_FULL_HINT, status=507)
    return IOFailure(f"the packages could not be kept: {error.strerror}")
