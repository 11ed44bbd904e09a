"""Which parts of a Python environment a job gets to see.

The kernel names its interpreter, prefixes and import paths. A job spec may come from somebody else, so a name is not
enough: a prefix must look like a Python installation, and an import path must be one that such an installation itself
(or the node's) refers to. Otherwise ``Paths: ["/"]`` would be a way around every allow-list. An import path that
nothing vouches for is left out rather than refused: kernels often have one that the job does not need
(``sys.path.append("..")``). The job finds what was left out in ``BACALHAU_PATHS_NOT_SHOWN``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from bacalhau_jupyter.engines.process import host
from bacalhau_jupyter.engines.process.params import PythonEnvironment

_MAX_PTH = 64 * 1024


class NotShown(Exception):
    """A path can't be shown; the text completes "this node …"."""


def visible_paths(environment: PythonEnvironment, secrets: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """Return what to show of a Python environment beyond the system directories, and the import paths left out.

    Parameters
    ----------
    environment
        As the client wrote it.
    secrets
        Paths that are never shown; nothing of the environment may lie inside one.

    Raises
    ------
    NotShown
        With the reason, for a bid's rejection.
    """
    try:
        return _visible(environment, list(secrets))
    except OSError as error:
        raise NotShown(f"can't see {error.filename}: {error.strerror} (Engine.Params.Python)") from None


def _visible(environment: PythonEnvironment, hidden: list[Path]) -> tuple[list[Path], list[str]]:
    prefixes = [_existing(text, "Prefixes") for text in environment.prefixes]
    shown: list[Path] = []
    for prefix in prefixes:
        if not _in_system(prefix):
            _check_prefix(prefix)
            shown.append(prefix)
    left_out: list[str] = []
    named: set[Path] | None = None
    for text in environment.paths:
        if not text.startswith("/"):
            left_out.append(text)
            continue
        path = _existing(text, "Paths")
        if _in_system(path) or any(_within(path, prefix) for prefix in shown):
            continue
        if not _is_site_directory(path):
            named = named if named is not None else set(_named_paths(environment, prefixes))
            if path not in named and path.resolve() not in named:
                left_out.append(text)
                continue
        visible = _import_path(path, hidden)
        shown += visible
        left_out += [] if visible else [text]
    if environment.executable:
        executable = _existing(environment.executable, "Executable")
        if not _in_system(executable) and not any(_within(executable, path) for path in shown):
            raise NotShown(
                f"can't run {executable}: it lies in none of the job's Python prefixes "
                "(Engine.Params.Python.Executable)"
            )
    for prefix in prefixes:
        if inside := next((secret for secret in hidden if _within(prefix.resolve(), secret)), None):
            raise NotShown(f"does not show {prefix} to jobs: it lies inside {inside}, which is never shown")
    return _with_targets(shown), left_out


def search_path(environment: PythonEnvironment) -> list[str]:
    """Return the directories of the environment's programs, the executable's own first."""
    found = [str(Path(environment.executable).parent)] if environment.executable else []
    found += [str(Path(prefix) / "bin") for prefix in environment.prefixes]
    return list(dict.fromkeys(found))


def _existing(text: str, member: str) -> Path:
    path = Path(os.path.normpath(text))
    if not path.is_absolute():
        raise NotShown(f"needs absolute paths, not {text!r} (Engine.Params.Python.{member})")
    if not path.exists():
        raise NotShown(f"can't see {text} (Engine.Params.Python.{member}): is it on another machine?")
    return path


def _check_prefix(prefix: Path) -> None:
    looks_right = any((prefix / "bin").glob("python*")) and any(
        child.is_dir() for child in (*prefix.glob("lib/python3*"), *prefix.glob("lib64/python3*"))
    )
    if not looks_right:
        raise NotShown(
            f"does not show {prefix} to jobs: it is no Python prefix (Engine.Params.Python.Prefixes)"
        )
    if host.is_of_the_system(prefix) or prefix in host.homes():
        raise NotShown(f"does not show {prefix} to jobs: it holds more than a Python environment")


def _in_system(path: Path) -> bool:
    return any(_within(path, Path(root)) for root in host.SYSTEM_DIRECTORIES)


def _within(path: Path, root: Path) -> bool:
    return path == root or root in path.parents


def _is_site_directory(path: Path) -> bool:
    return path.name in ("site-packages", "dist-packages") and path.parent.name.startswith("python")


def _named_paths(environment: PythonEnvironment, prefixes: list[Path]) -> Iterator[Path]:
    """Yield the import paths that the environment's own ``.pth`` files name, and the node's own."""
    sites = [Path(text) for text in environment.paths if _is_site_directory(Path(text))]
    for prefix in prefixes:
        for pattern in (
            "lib/python3*/site-packages",
            "lib/python3*/dist-packages",
            "lib/python3/dist-packages",
        ):
            sites += prefix.glob(pattern)
    for site in sites:
        for file in site.glob("*.pth"):
            yield from _pth_targets(site, file)
    for entry in sys.path:
        if Path(entry).is_absolute():
            yield Path(os.path.normpath(entry))


def _pth_targets(site: Path, file: Path) -> Iterator[Path]:
    try:
        with file.open("rb") as stream:
            lines = stream.read(_MAX_PTH).decode(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        entry = line.strip()
        if entry and not entry.startswith(("#", "import ", "import\t")):
            yield Path(os.path.normpath(site / entry))


def _import_path(path: Path, hidden: list[Path]) -> list[Path]:
    """Show an import path, if it is nothing else besides; of a home directory, only what begins with no dot."""
    resolved = path.resolve()
    if host.is_of_the_system(resolved) or any(_within(resolved, secret) for secret in hidden):
        return []
    if resolved in {home.resolve() for home in host.homes()}:
        return [child for child in path.iterdir() if not child.name.startswith(".")]
    return [path]


def _with_targets(paths: list[Path]) -> list[Path]:
    """Add where symbolic links lead to, for links inside that name the real place."""
    both = [each for path in paths for each in (path, path.resolve())]
    return list(dict.fromkeys(both))
