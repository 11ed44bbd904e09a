"""Builds the labextension where it is missing or older than its sources.

The wheel's build hook, `./run` and the tests all come here. As a program it builds when needed, and shows the result to
the JupyterLab of the environment that runs it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "bacalhau-jupyter"
SOURCES = (
    "src",
    "style",
    "schema",
    "package.json",
    "yarn.lock",
    "tsconfig.json",
    "page.build.mjs",
    ".yarnrc.yml",
)
INSTALL_TIMEOUT_S = 1500.0
BUILD_TIMEOUT_S = 900.0
OLDEST_NODE = (20, 19)


class BundleError(Exception):
    """The labextension can't be built; the text says why."""


def output(root: Path = ROOT) -> Path:
    """Return where the built labextension lies."""
    return root / "bacalhau_jupyter" / "labextension"


def page(root: Path = ROOT) -> Path:
    """Return where the built web page of the node lies."""
    return root / "bacalhau_jupyter" / "webui"


def source_hash(root: Path = ROOT) -> str:
    """Return a fingerprint of everything that the bundle is made of."""
    digest = hashlib.sha256()
    for name in SOURCES:
        start = root / "labextension" / name
        for path in sorted(p for p in [start, *start.rglob("*")] if p.is_file()):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def is_current(root: Path = ROOT) -> bool:
    """Whether the bundle is there and was made of these very sources."""
    try:
        stamp = (output(root) / "sources.sha256").read_text()
        loaded = json.loads((output(root) / "package.json").read_text())["jupyterlab"]["_build"]["load"]
        built = (output(root) / loaded).is_file() and (page(root) / "index.html").is_file()
        return built and stamp == source_hash(root)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def has_node() -> bool:
    """Whether a Node.js that is recent enough is on the path."""
    node = shutil.which("node")
    if node is None:
        return False
    try:
        version = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
        major, minor, *_ = (int(part) for part in version.strip().lstrip("v").split("."))
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return (major, minor) >= OLDEST_NODE


def build(root: Path = ROOT) -> bool:
    """Build the labextension unless it is current; return whether there was anything to do.

    Raises
    ------
    BundleError
        A tool is missing, or failed; its last lines are in the text.
    """
    if is_current(root):
        return False
    folder = root / "labextension"
    with _alone(folder / ".build.lock"):
        if is_current(root):
            return False
        sources_hash = source_hash(root)
        _install(folder)
        _run(folder, ["build:prod"], BUILD_TIMEOUT_S)
        (output(root) / "install.json").write_bytes((folder / "install.json").read_bytes())
        (output(root) / "sources.sha256").write_text(sources_hash)
    return True


def link(root: Path = ROOT, prefix: Path | None = None) -> None:
    """Show the bundle of this checkout to the JupyterLab of an environment (default: the one that runs this)."""
    place = (prefix or Path(sys.prefix)) / "share" / "jupyter" / "labextensions" / NAME
    if place.is_symlink() and place.resolve() == output(root).resolve():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.is_dir():
        shutil.rmtree(place)
    place.symlink_to(output(root), target_is_directory=True)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process build at a time."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _install(folder: Path) -> None:
    """Fetch what the lock file names, once for each lock file."""
    lock_hash = hashlib.sha256((folder / "yarn.lock").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".lock.sha256"
    if stamp.is_file() and stamp.read_text() == lock_hash:
        return
    _run(folder, ["install", "--immutable"], INSTALL_TIMEOUT_S)
    stamp.write_text(lock_hash)


def _run(folder: Path, arguments: list[str], timeout_s: float) -> None:
    # The tools of the environment that runs this come first: jlpm and jupyter-builder, and often node itself.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    jlpm = shutil.which("jlpm", path=path)
    if jlpm is None:
        raise BundleError("jlpm is missing: install jupyter-builder")
    command = [jlpm, *arguments]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BundleError(f"`jlpm {' '.join(arguments)}` took longer than {timeout_s:.0f} s") from None
    if done.returncode:
        tail = done.stdout.decode(errors="replace")[-4000:]
        raise BundleError(f"`jlpm {' '.join(arguments)}` failed:\n{tail}")


def main() -> int:
    """Build and link; 0 when the bundle is there."""
    try:
        built = build()
        link()
    except BundleError as error:
        sys.stderr.write(f"labextension: {error}\n")
        return 1
    sys.stderr.write("labextension: built\n" if built else "")
    return 0


if __name__ == "__main__":
    sys.exit(main())
