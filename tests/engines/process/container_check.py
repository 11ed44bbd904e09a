"""Run this directory's tests where people really are: a strict container, a chroot, an ordinary user's shell.

``python tests/engines/process/container_check.py docker chroot user`` runs pytest in each and prints its summary and
which tier worked there. ``test_places.py`` does the same as tests.

The image and the chroot hold Debian's ``python3`` and nothing of ours: the repository and the packages of the
interpreter that runs this are mounted read-only, so that must be a CPython 3.11, too.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from tests.services import docker_engine, images  # noqa: E402 - a script finds them by the line above
from tests.services.common import ServiceUnavailableError, cache_dir, is_root  # noqa: E402

UID = 1600
TESTS = "tests/engines/process"
TIMEOUT_S = 600.0
DEBIAN_PYTHON = (3, 11)
_PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
_TIERS = """
import asyncio, pathlib, sys, tempfile
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.engines.process import ProcessEngine

async def main():
    engine = ProcessEngine(PluginOptions("n-1", pathlib.Path(tempfile.mkdtemp())))
    found = await engine.probe()
    print("tier:", found.runtime or found.problem)

asyncio.run(main())
"""


def in_docker(
    base_url: str, image: str, arguments: list[str], tests: str = TESTS
) -> subprocess.CompletedProcess[str]:
    """Run tests in a container: Docker's default seccomp profile, uid 1600, no new privileges."""
    packages = site_packages()
    command = [
        "docker",
        "--host",
        base_url,
        "run",
        "--rm",
        "--init",
        "--network",
        "none",
        "--user",
        f"{UID}:{UID}",
        "--security-opt",
        "no-new-privileges",
        "--volume",
        f"{ROOT}:/source:ro",
        "--volume",
        f"{packages}:/packages:ro",
        "--env",
        "PYTHONPATH=/source:/packages",
        "--env",
        "PYTHONDONTWRITEBYTECODE=1",
        "--env",
        "HOME=/tmp",
        "--workdir",
        "/tmp",
        image,
    ]
    if shutil.which("docker") is None:
        raise ServiceUnavailableError("the docker command is not installed")
    return _both(command, "python3", "/source", [f"/source/{tests}", *arguments])


def in_chroot(arguments: list[str], tests: str = TESTS) -> subprocess.CompletedProcess[str]:
    """Run the tests as root in a chroot, where the kernel refuses user namespaces and pivot_root."""
    with image_tree(system=True) as root:
        command = [
            "chroot",
            str(root),
            "/usr/bin/env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME=/root",
            "PYTHONPATH=/source:/packages",
            "PYTHONDONTWRITEBYTECODE=1",
        ]
        return _both(command, "python3", "/source", [f"/source/{tests}", *arguments])


def as_user(arguments: list[str], tests: str = TESTS) -> subprocess.CompletedProcess[str]:
    """Run the tests on this host as an ordinary user."""
    packages = site_packages()
    python = "/usr/bin/python3"
    if not is_root():
        raise ServiceUnavailableError("only root can become another user")
    probe = subprocess.run(
        [python, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
    )
    if str(DEBIAN_PYTHON) not in probe.stdout:
        raise ServiceUnavailableError("no Python 3.11 in /usr/bin")
    with tempfile.TemporaryDirectory() as home:
        shutil.chown(home, UID, UID)
        cache = _cache_of_others(Path(home))
        command = [
            "setpriv",
            f"--reuid={UID}",
            f"--regid={UID}",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
            "/usr/bin/env",
            "-i",
            "-C",
            home,
            "PATH=/usr/bin:/bin",
            f"HOME={home}",
            f"TMPDIR={home}",
            f"BACALHAU_JUPYTER_TEST_CACHE={cache}",
            f"PYTHONPATH={ROOT}:{packages}",
            "PYTHONDONTWRITEBYTECODE=1",
        ]
        return _both(command, python, str(ROOT), [f"{ROOT}/{tests}", *arguments])


def _cache_of_others(home: Path) -> Path:
    """Make a cache directory for the other user, with what only root can make."""
    cache = home / "cache"
    cache.mkdir()
    shutil.chown(cache, UID, UID)
    archive = cache_dir() / f"python-{images.PYTHON_SUITE}.tar"
    if archive.exists():
        shutil.copyfile(archive, cache / archive.name)
    return cache


def _both(
    command: list[str], python: str, source: str, arguments: list[str]
) -> subprocess.CompletedProcess[str]:
    """Print the tier that the engine picks, then run the tests."""
    tier = _run([*command, python, "-c", _TIERS])
    tests = _run([*command, python, *_PYTEST, "-c", f"{source}/pyproject.toml", *arguments])
    tests.stdout = tier.stdout + tier.stderr + tests.stdout
    return tests


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def site_packages() -> Path:
    """Return where the tests' packages lie; they have to be for the Python of the image."""
    if sys.version_info[:2] != DEBIAN_PYTHON:
        raise ServiceUnavailableError("the tests' packages are not for the Python 3.11 of the image")
    return Path(sysconfig.get_path("purelib"))


@contextmanager
def image_tree(*, system: bool) -> Iterator[Path]:
    """Yield the tree of the tests' Python image with the repository at ``/source`` and the packages at ``/packages``.

    Parameters
    ----------
    system
        Whether this machine's ``/proc`` and ``/dev`` are in it, too.

    Raises
    ------
    ServiceUnavailableError
        It can't be made here.
    """
    packages = site_packages()
    if not is_root():
        raise ServiceUnavailableError("only root can enter a chroot")
    archive = cache_dir() / f"python-{images.PYTHON_SUITE}.tar"
    if not archive.exists():
        raise ServiceUnavailableError("the tree of the Python image has not been made yet")
    with tempfile.TemporaryDirectory(prefix="chroot-") as scratch:
        root = Path(scratch) / "root"
        with tarfile.open(archive) as tar:
            tar.extractall(root, filter="fully_trusted")
        mounts = [(str(ROOT), "source"), (str(packages), "packages")]
        mounts += [("/proc", "proc"), ("/dev", "dev")] if system else []
        mounted: list[Path] = []
        try:
            for source, name in mounts:
                target = root / name
                target.mkdir(exist_ok=True)
                subprocess.run(["mount", "--bind", source, target], check=True, capture_output=True)
                mounted.append(target)
            yield root
        except subprocess.CalledProcessError as error:
            raise ServiceUnavailableError(f"can't mount here: {error.stderr!r}") from None
        finally:
            for target in reversed(mounted):
                subprocess.run(["umount", target], check=True)
            # Nothing that a test may have mounted is emptied with the tree.
            subprocess.run(["rm", "-rf", "--one-file-system", root], check=True)


def main() -> int:
    """Run the tests in the named places; the exit status is 0 when all passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="+", choices=["docker", "chroot", "user"])
    parser.add_argument("--pytest", action="append", default=[], help="a further argument for pytest")
    options = parser.parse_args()
    failed = False
    for place in options.places:
        if place == "docker":
            engine = docker_engine.obtain()
            done = in_docker(engine.base_url, images.ensure_python(engine.base_url), options.pytest)
        else:
            done = (in_chroot if place == "chroot" else as_user)(options.pytest)
        sys.stdout.write(f"--- {place}\n{done.stdout}{done.stderr}\n")
        failed = failed or done.returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
