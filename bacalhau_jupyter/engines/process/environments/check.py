"""Which parts of a Python environment a job gets to see, decided once, when the environment is registered.

The registering user is the node's own, so a name is trusted as intended; it may still lead to more than intended.
A prefix must look like a Python installation, and an import path must be one that such an installation itself (or the
node's) refers to; the node reads the ``.pth`` files itself. An import path that nothing vouches for is left out rather
than refused: kernels often have one that the job does not need (``sys.path.append("..")``). The job finds what was
left out in ``BACALHAU_PATHS_NOT_SHOWN``.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from bacalhau_jupyter.engines.process.environments.forbidden import Forbidden, within
from bacalhau_jupyter.engines.supervised import host
from bacalhau_jupyter.engines.supervised.confinement.pinned import open_real
from bacalhau_jupyter.engines.supervised.sockets import sockets_below
from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.records.environments import PythonDescription, environment_hash

MAX_PREFIXES = 32
MAX_PATHS = 500
MAX_PATH_LENGTH = 4096
_MAX_PTH = 64 * 1024
_MAX_PTH_FILES = 2000
_SITES = ("lib/python3*/site-packages", "lib/python3*/dist-packages", "lib/python3/dist-packages")


class NotShown(Exception):
    """A path can't be shown; the text completes "this node …"."""


class CheckedPath(Wire):
    """Something that is shown: where jobs see it, where it really lies, and what it was there.

    ``target`` and ``real`` differ where the target leads through links; both are seen by the job.
    """

    target: str
    real: str
    device: int
    inode: int


class Registered(Wire):
    """A registered environment, as the node keeps it.

    Attributes
    ----------
    name
        Its hash.
    description
        What was registered, in its one spelling.
    places
        What jobs see of it beyond the system directories.
    left_out
        Import paths that they don't see.
    sockets
        Real paths of sockets that lay in those places.
    boot
        The kernel's boot ID: until the next one, devices keep their numbers.
    """

    name: str
    description: PythonDescription
    places: list[CheckedPath] = always([])
    left_out: list[str] = always([])
    sockets: list[str] = always([])
    boot: str = always("")


def check(
    description: PythonDescription,
    forbidden: Forbidden,
    *,
    boot: str = "",
    sockets: list[str] | None = None,
) -> Registered:
    """Look at an environment and return what of it jobs may see.

    Parameters
    ----------
    description
        As it was registered.
    forbidden
        What is never shown.
    boot
        The kernel's boot ID.
    sockets
        The sockets in the environment, where they are known; else every entry of it is looked at.

    Raises
    ------
    NotShown
        With the reason.
    """
    _check_size(description)
    tidy = description.tidy()
    try:
        return _Check(tidy, forbidden).result(boot, sockets)
    except OSError as error:
        raise NotShown(f"can't see {error.filename}: {error.strerror} (Engine.Params.Python)") from None


def search_path(description: PythonDescription) -> list[str]:
    """Return the directories of the environment's programs, the executable's own first."""
    directories = [str(Path(description.executable).parent)] if description.executable else []
    directories += [str(Path(prefix) / "bin") for prefix in description.prefixes]
    return list(dict.fromkeys(directories))


def _check_size(description: PythonDescription) -> None:
    texts = [description.executable, *description.prefixes, *description.paths]
    if len(description.prefixes) > MAX_PREFIXES or len(description.paths) > MAX_PATHS:
        raise NotShown(f"takes no environment of more than {MAX_PREFIXES} prefixes or {MAX_PATHS} paths")
    if any(len(text) > MAX_PATH_LENGTH or "\0" in text for text in texts):
        raise NotShown(f"takes no path with a NUL character, or of more than {MAX_PATH_LENGTH} characters")
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise NotShown("can't write down a path that is not UTF-8 (Engine.Params.Python)") from None


class _Check:
    def __init__(self, tidy: PythonDescription, forbidden: Forbidden) -> None:
        self._tidy = tidy
        self._forbidden = forbidden
        self._places: dict[str, CheckedPath] = {}
        self._left_out: list[str] = []

    def result(self, boot: str, sockets: list[str] | None) -> Registered:
        prefixes = [Path(text) for text in self._tidy.prefixes]
        for prefix in prefixes:
            self._prefix(prefix)
        self._paths(prefixes)
        self._executable()
        roots = sorted({place.real for place in self._places.values()})
        return Registered(
            name=environment_hash(self._tidy),
            description=self._tidy,
            places=list(self._places.values()),
            left_out=self._left_out,
            sockets=sockets_below(roots) if sockets is None else sockets,
            boot=boot,
        )

    def _prefix(self, prefix: Path) -> None:
        place, reason = self._look(prefix, "Prefixes")
        if place is None:
            raise NotShown(f"does not show {prefix} to jobs: {reason} (Engine.Params.Python.Prefixes)")
        if not _looks_like_python(Path(place.real)):
            raise NotShown(
                f"does not show {prefix} to jobs: it is not a Python prefix (Engine.Params.Python.Prefixes)"
            )
        self._add(prefix, place)

    def _paths(self, prefixes: list[Path]) -> None:
        named: set[Path] | None = None
        for text in self._tidy.paths:
            path = Path(text)
            if not path.is_absolute():
                self._left_out.append(text)
                continue
            if not path.exists():
                raise NotShown(f"can't see {text} (Engine.Params.Python.Paths): is it on another machine?")
            if _in_system(path) or any(within(path, Path(target)) for target in self._places):
                continue
            if not _is_site_directory(path):
                named = named if named is not None else set(_named_paths(self._tidy, prefixes))
                if path not in named and Path(os.path.realpath(path)) not in named:
                    self._left_out.append(text)
                    continue
            place, _ = self._look(path, "Paths")
            if place is None:
                self._left_out.append(text)
            else:
                self._add(path, place)

    def _executable(self) -> None:
        if not self._tidy.executable:
            return
        executable = Path(self._tidy.executable)
        self._existing(executable, "Executable")
        if not _in_system(executable) and not any(within(executable, Path(each)) for each in self._places):
            raise NotShown(
                f"can't run {executable}: it lies in none of the environment's Python prefixes "
                "(Engine.Params.Python.Executable)"
            )

    def _existing(self, path: Path, member: str) -> None:
        if not path.is_absolute():
            raise NotShown(f"needs absolute paths, not {str(path)!r} (Engine.Params.Python.{member})")
        if not path.exists():
            raise NotShown(f"can't see {path} (Engine.Params.Python.{member}): is it on another machine?")

    def _look(self, path: Path, member: str) -> tuple[CheckedPath | None, str]:
        """Resolve a path to a descriptor and judge what that is; return the reason where it can't be shown."""
        if said := self._forbidden.spelling(path):
            return None, said
        self._existing(path, member)
        descriptor = open_real(os.path.realpath(path))
        try:
            real, info = Path(f"/proc/self/fd/{descriptor}").readlink(), os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if said := self._forbidden.place(real, info):
            return None, said
        return CheckedPath(target=str(path), real=str(real), device=info.st_dev, inode=info.st_ino), ""

    def _add(self, path: Path, place: CheckedPath) -> None:
        """Show a place where it is called and where it lies, for links inside that name the real place."""
        for target in (str(path), place.real):
            if not _in_system(Path(target)):
                self._places.setdefault(
                    target,
                    CheckedPath(target=target, real=place.real, device=place.device, inode=place.inode),
                )


def _looks_like_python(prefix: Path) -> bool:
    return any((prefix / "bin").glob("python*")) and any(
        child.is_dir() for child in (*prefix.glob("lib/python3*"), *prefix.glob("lib64/python3*"))
    )


def _in_system(path: Path) -> bool:
    return any(within(path, Path(root)) for root in host.SYSTEM_DIRECTORIES)


def _is_site_directory(path: Path) -> bool:
    return path.name in ("site-packages", "dist-packages") and path.parent.name.startswith("python")


def _named_paths(description: PythonDescription, prefixes: list[Path]) -> Iterator[Path]:
    """Yield the import paths that the environment's own ``.pth`` files name, and the node's own."""
    sites = [Path(text) for text in description.paths if _is_site_directory(Path(text))]
    for prefix in prefixes:
        for pattern in _SITES:
            sites += prefix.glob(pattern)
    for site in sites:
        yield from _pth_targets(site)
    for entry in sys.path:
        if Path(entry).is_absolute():
            yield Path(os.path.normpath(entry))


def _pth_targets(site: Path) -> Iterator[Path]:
    try:
        directory = os.open(site, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".pth"))  # noqa: PTH208
        for name in names[:_MAX_PTH_FILES]:
            for line in _read(directory, name).decode(errors="replace").splitlines():
                entry = line.strip()
                if entry and "\0" not in entry and not entry.startswith(("#", "import ", "import\t")):
                    yield Path(os.path.normpath(site / entry))
    finally:
        os.close(directory)


def _read(directory: int, name: str) -> bytes:
    """Read the beginning of a regular file; of anything else, nothing."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return b""
    try:
        return os.read(file, _MAX_PTH) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(file)
