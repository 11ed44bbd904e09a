"""Programs that are built once with Go, from a module or a file here, and kept in the cache directory."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.services.common import ServiceUnavailableError, cache_dir, one_process_at_a_time, run

GO_VERSION = "1.26"
BUILD_TIMEOUT_S = 1200.0


def built(name: str, *, module: str, version: str, package: str) -> Path:
    """Return a program of a module, built on first use.

    Parameters
    ----------
    name
        Of the program.
    package
        Below the module: where its ``main`` is.

    Raises
    ------
    ServiceUnavailableError
        Go is not installed, or the build failed.
    """
    path = cache_dir() / f"{name}-v{version}"
    with one_process_at_a_time(name):
        if not path.exists():
            _build(path, name, f"{module} v{version}", f"{module}/{package}")
    return path


def built_here(source: Path, *, module: str, version: str) -> Path:
    """Return the program of one Go file, which uses a module; built on first use and after a change.

    Raises
    ------
    ServiceUnavailableError
        Go is not installed, or the build failed.
    """
    name = source.parent.name
    mark = hashlib.sha256(source.read_bytes() + version.encode()).hexdigest()[:12]
    path = cache_dir() / f"{name}-{mark}"
    with one_process_at_a_time(name):
        if not path.exists():
            _build(path, name, f"{module} v{version}", ".", source)
    return path


def _build(path: Path, name: str, requirement: str, package: str, source: Path | None = None) -> None:
    # `go install` would first look for modules below this one, which not every proxy answers; a module of our own that
    # requires it does not.
    go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if go is None:
        raise ServiceUnavailableError(f"{name} can't be built: `go` is not installed")
    with tempfile.TemporaryDirectory(prefix=f"build-{name}-") as directory:
        (Path(directory) / "go.mod").write_text(f"module build\n\ngo {GO_VERSION}\n\nrequire {requirement}\n")
        if source is not None:
            shutil.copy(source, directory)
        draft = path.with_suffix(".part")
        command = [go, "build", "-C", directory, "-mod=mod", "-o", str(draft), package]
        run(command, timeout_s=BUILD_TIMEOUT_S, env=os.environ | {"CGO_ENABLED": "0"})
        draft.replace(path)
