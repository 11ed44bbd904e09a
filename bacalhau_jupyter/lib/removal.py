"""Removing directory trees, as deep as a job can make them, whatever modes it left there."""

from __future__ import annotations

import errno
import os
import stat

from bacalhau_jupyter.lib.trees import OPEN, PLACE


def remove_tree(path: str | os.PathLike[str]) -> OSError | None:
    """Remove a file, link or directory with all that is in it, whatever modes a job left there. Blocks.

    Never follows a link and never enters what is mounted below. What can't be removed stays (perhaps at another
    place in the directory), everything else goes.

    Returns
    -------
    OSError or None
        Why something is left, the first of the reasons; None when all is gone, or nothing was there.
    """
    parent, name = os.path.split(os.fspath(path).rstrip("/"))
    if name in ("", ".", ".."):
        return OSError(errno.EINVAL, "this directory is never removed", os.fspath(path))
    try:
        above = os.open(parent or ".", PLACE)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error
    try:
        return _Remover(above).remove(name)
    finally:
        os.close(above)


class _Remover:
    """Removes one tree. Directories deep down are moved up to the top first, so that depth plays no role."""

    def __init__(self, above: int) -> None:
        self._above = above
        self._top = -1
        self._device = 0
        self._prefix = f".removed-{os.urandom(8).hex()}-"
        self._moved = 0
        self._pending: list[str] = []
        self._error: OSError | None = None

    def remove(self, name: str) -> OSError | None:
        try:
            facts = os.stat(name, dir_fd=self._above, follow_symlinks=False)
            if not stat.S_ISDIR(facts.st_mode):
                os.unlink(name, dir_fd=self._above)
                return None
            self._device = facts.st_dev
            self._top = _open_up(name, self._above)
        except FileNotFoundError:
            return None
        except OSError as error:
            return error
        try:
            self._empty(self._top)
            while self._pending:
                self._remove_moved(self._pending.pop())
        except OSError as error:
            self._failed(error)
        finally:
            os.close(self._top)
        return self._remove_directory(name, self._above)

    def _empty(self, directory: int) -> None:
        with os.scandir(directory) as iterator:
            entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in iterator]
        for name, is_directory in entries:
            try:
                if is_directory:
                    self._take_up(name, directory)
                else:
                    os.unlink(name, dir_fd=directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._failed(error)

    def _take_up(self, name: str, directory: int) -> None:
        """Remove an empty directory; move another one up to the top, where it is emptied later."""
        try:
            os.rmdir(name, dir_fd=directory)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        _make_ours(name, directory)
        self._moved += 1
        place = f"{self._prefix}{self._moved}"
        # A mount point can't be renamed: what is mounted here is left alone.
        os.rename(name, place, src_dir_fd=directory, dst_dir_fd=self._top)
        self._pending.append(place)

    def _remove_moved(self, name: str) -> None:
        try:
            descriptor = _open_up(name, self._top)
        except OSError as error:
            self._failed(error)
            return
        try:
            if os.fstat(descriptor).st_dev == self._device:
                self._empty(descriptor)
        except OSError as error:
            self._failed(error)
        finally:
            os.close(descriptor)
        self._remove_directory(name, self._top)

    def _remove_directory(self, name: str, directory: int) -> OSError | None:
        try:
            os.rmdir(name, dir_fd=directory)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._failed(error)
        return self._error

    def _failed(self, error: OSError) -> None:
        self._error = self._error or error


def _open_up(name: str, directory: int) -> int:
    _make_ours(name, directory)
    return os.open(name, OPEN, dir_fd=directory)


def _make_ours(name: str, directory: int) -> None:
    """Let the owner read, write and enter a directory; another user's can perhaps be removed as it is."""
    facts = os.stat(name, dir_fd=directory, follow_symlinks=False)
    mode = stat.S_IMODE(facts.st_mode)
    if not stat.S_ISDIR(facts.st_mode) or mode & 0o700 == 0o700:
        return
    if os.chmod in os.supports_follow_symlinks:
        try:
            os.chmod(name, mode | 0o700, dir_fd=directory, follow_symlinks=False)
        except OSError:
            return
        return
    # By way of a descriptor: the name could have become a link meanwhile.
    descriptor = os.open(name, PLACE | os.O_NOFOLLOW, dir_fd=directory)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", mode | 0o700)  # noqa: PTH101
    except OSError:
        return
    finally:
        os.close(descriptor)
