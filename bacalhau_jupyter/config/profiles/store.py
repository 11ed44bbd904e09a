"""Where saved connections are kept: a directory with a file for each, and a link to the one that is used."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from bacalhau_jupyter.config.files import WAIT_S, attempts, io_explained, locked, write_atomic
from bacalhau_jupyter.config.profiles.profile import Profile, profile_of, text_of
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError, NotFound
from bacalhau_jupyter.models.text import is_readable, readable

NAME_LIMIT = 150
"""Bytes of a name: most file systems take 255, and drafts need some more than the file itself."""
_CURRENT = "current"
_SEPARATORS = frozenset("/\\")


class ProfileStore:
    """The profiles of a directory. What reads or writes one may block for a second: an event loop uses a thread.

    Parameters
    ----------
    directory
        ``profiles`` of the repo directory; created with the first profile.
    pause
        Waits for so many seconds.
    """

    def __init__(self, directory: Path, pause: Callable[[float], None] = time.sleep) -> None:
        self._directory = directory
        self._pause = pause

    def names(self) -> list[str]:
        """Return the names of all profiles, sorted; what has a name that none can have is not one."""
        names = (path.stem for path in self._directory.glob("*.yaml") if path.is_file())
        return sorted(name for name in names if not _unusable(name))

    def load(self, name: str) -> Profile:
        """Return a profile.

        Raises
        ------
        NotFound
            There is no profile of that name.
        ConfigurationError
            Its file is damaged.
        """
        path = self._path(name)
        try:
            text = self._whole_text(path)
        except FileNotFoundError as error:
            raise _unknown(name, self.names()) from error
        except OSError as error:
            raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
        except UnicodeError as error:
            raise ConfigurationError(f"{path} is not a profile: it is not YAML") from error
        return profile_of(text, path)

    def save(self, name: str, profile: Profile) -> None:
        """Write a profile (0600), replacing one of the same name; members of its file that we don't know stay.

        Raises
        ------
        BadRequest
            The name, endpoint or time-out is unusable.
        """
        with self._changing():
            self._write(name, profile)

    def change(self, name: str, edit: Callable[[Profile | None], Profile]) -> None:
        """Write what ``edit`` makes of a profile as it is now (None: there is none), while no other of ours changes it.

        Raises
        ------
        BadRequest, ConfigurationError
            As of `save` and `load`; and whatever ``edit`` raises.
        """
        self._path(name)
        with self._changing():
            try:
                known = self.load(name)
            except NotFound:
                known = None
            self._write(name, edit(known))

    def delete(self, name: str) -> None:
        """Remove a profile; if it was the current one, none is current any more.

        Raises
        ------
        NotFound
            There is no profile of that name.
        """
        path = self._path(name)
        if self.current() == name:
            (self._directory / _CURRENT).unlink(missing_ok=True)
        with io_explained("can't delete", path):
            try:
                path.unlink()
            except FileNotFoundError as error:
                raise _unknown(name, self.names()) from error

    def select(self, name: str) -> None:
        """Make a profile the current one."""
        self.load(name)
        link = self._directory / _CURRENT
        draft = self._directory / f".{_CURRENT}.{uuid.uuid4().hex}"
        with io_explained("can't select", link):
            draft.symlink_to(f"{name}.yaml")
            draft.replace(link)

    def deselect(self) -> None:
        """Make no profile the current one."""
        with io_explained("can't deselect", self._directory):
            (self._directory / _CURRENT).unlink(missing_ok=True)

    def current(self) -> str | None:
        """Return the name of the current profile; None without one, or when its file is gone."""
        try:
            name = (self._directory / _CURRENT).readlink().name.removesuffix(".yaml")
        except OSError:
            return None
        return name if name in self.names() else None

    def mark(self, name: str | None = None) -> str:
        """Return a text that changes when another profile becomes the current one, or this one is saved again.

        Parameters
        ----------
        name
            The profile to look at; the current one by default.
        """
        name = self.current() if name is None else name
        if name is None:
            return ""
        try:
            status = self._path(name).stat()
        except (OSError, BadRequest):
            return name
        return f"{name} {status.st_ino} {status.st_mtime_ns}"

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with io_explained("can't create", self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with io_explained("can't write", self._directory), locked(self._directory):
            yield

    def _write(self, name: str, profile: Profile) -> None:
        path = self._path(name)
        before = ""
        with contextlib.suppress(OSError, UnicodeError):
            before = self._whole_text(path)
        write_atomic(path, text_of(profile, before))

    def _whole_text(self, path: Path) -> str:
        """Return what a file holds; official programs empty it for a moment when they save. May block for `WAIT_S`."""
        for _ in attempts(pause=self._pause):
            if (text := read_text(path)).strip():
                return text
            if time.time() - path.stat().st_mtime > WAIT_S:
                # Nobody is at it: who waited here would do so each time.
                break
        return ""

    def _path(self, name: str) -> Path:
        if why := _unusable(name):
            raise BadRequest(f"{readable(name[:60])!r} is not a name for a profile: {why}")
        return self._directory / f"{name}.yaml"


def _unusable(name: str) -> str:
    """Return why a name can't be a file's; empty where it can. Clients choose names, so none may mean a place."""
    if not name.strip():
        return "it is empty"
    if not is_readable(name):
        return "it holds control or direction marks"
    if name.startswith(".") or _SEPARATORS.intersection(name):
        return "it begins with a dot, or holds a separator"
    if len(name.encode()) > NAME_LIMIT:
        return f"it is longer than {NAME_LIMIT} bytes"
    return ""


def _unknown(name: str, saved: list[str]) -> NotFound:
    hint = f"Known profiles: {', '.join(saved)}." if saved else "No profile is saved yet."
    return NotFound(f'profile "{name}" not found', hint=hint)
