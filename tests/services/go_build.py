"""Programs that are built once from a Go module, and kept in the cache directory."""

from __future__ import annotations

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
            _build(path, name, module=module, version=version, package=package)
    return path


def _build(path: Path, name: str, *, module: str, version: str, package: str) -> None:
    # `go install` would first look for modules below this one, which not every proxy answers; a module of our own that
    # requires it does not.
    go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if go is None:
        raise ServiceUnavailableError(f"{name} can't be built: `go` is not installed")
    with tempfile.TemporaryDirectory(prefix=f"build-{name}-") as directory:
        text = f"module build\n\ngo {GO_VERSION}\n\nrequire {module} v{version}\n"
        (Path(directory) / "go.mod").write_text(text)
        draft = path.with_suffix(".part")
        command = [go, "build", "-C", directory, "-mod=mod", "-o", str(draft), f"{module}/{package}"]
        run(command, timeout_s=BUILD_TIMEOUT_S, env=os.environ | {"CGO_ENABLED": "0"})
        draft.replace(path)
