"""Small files that are whole or absent, never half written; and the paths that a configuration names."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import ConfigurationError, IOFailure

WAIT_S = 1.0
"""Seconds that one program waits for another at a file, at most."""
_PAUSE_S = 0.005


@contextlib.contextmanager
def io_explained(problem: str, path: Path) -> Iterator[None]:
    """Turn an OS error into one sentence: ``problem`` says what could not be done with ``path``."""
    try:
        yield
    except OSError as error:
        raise IOFailure(f"{problem} {path}: {error.strerror or error}", component="Repo") from error


def expanded(path: str) -> Path:
    """Return the absolute path of a configured one, which may begin with ``~``.

    Raises
    ------
    ConfigurationError
        It names the home directory of a user that does not exist.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise ConfigurationError(
            f"{path} begins with a home directory that does not exist", hint="Give the whole path."
        ) from error


def attempts(wait_s: float = WAIT_S, pause: Callable[[float], None] = time.sleep) -> Iterator[None]:
    """Yield once, and after each short pause again, for so many seconds. Blocks: not for an event loop."""
    for _ in range(round(wait_s / _PAUSE_S)):
        yield
        pause(_PAUSE_S)


def write_atomic(path: Path, text: str) -> None:
    """Replace a file's content in one step, readable by its owner only."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with io_explained("can't write", path):
        try:
            _write(draft, text)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(path: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """Keep other processes of ours from changing a file (or a directory) meanwhile; the lock lies beside it.

    A lock that can't be had within ``wait_s`` does not keep anybody from working: what is written is whole in any
    case. Blocks meanwhile: an event loop leaves it to a thread.

    Raises
    ------
    OSError
        The lock's file can't be opened.
    """
    try:
        import fcntl
    except ImportError:  # pragma: no cover
        yield
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path.with_suffix(".lock"), flags, 0o600)
    try:
        for _ in attempts(wait_s):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                continue
        yield
    finally:
        os.close(handle)


def create_once(path: Path, text: str) -> str:
    """Create a file unless it exists; return its content, also if another process was first."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with io_explained("can't create", path):
        if not path.exists():
            try:
                _write(draft, text)
                # Unlike a rename, a link never replaces what another process has just created.
                os.link(draft, path)
            except FileExistsError:
                pass
            except OSError:
                # No hard links on this file system.
                with contextlib.suppress(FileExistsError):
                    _write(path, text)
            finally:
                draft.unlink(missing_ok=True)
        return read_text(path)


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())
