"""The two images that tests run: a busybox and a Python, made without a registry where that is possible.

`docker import` of a tree from local files works offline; where the tools for it are missing, the well-known images are
pulled and given the same names.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound

from tests.services.common import ServiceUnavailableError, cache_dir, is_root, one_process_at_a_time, run
from tests.services.docker_engine import client

BUSYBOX = "bacalhau-jupyter-test/busybox:latest"
PYTHON = "bacalhau-jupyter-test/python:3.11"
PATH_ENV = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The Debian release whose python3 is 3.11.
PYTHON_SUITE = "bookworm"
DEBOOTSTRAP_TIMEOUT_S = 900.0
# The engine reads the stream of a 120 MB import at its own pace.
IMPORT_TIMEOUT_S = 300.0


def ensure_busybox(base_url: str) -> str:
    """Return the name of the busybox image in the engine at `base_url`, making it when missing.

    Raises
    ------
    ServiceUnavailableError
        There is no static busybox here, and none can be pulled.
    """
    with one_process_at_a_time("images"):
        return _ensure(base_url, BUSYBOX, _import_busybox, pulled="busybox:latest")


def ensure_python(base_url: str) -> str:
    """Return the name of the Python 3.11 image in the engine at `base_url`, making it when missing (about a minute).

    Raises
    ------
    ServiceUnavailableError
        debootstrap is not usable here, and no image can be pulled.
    """
    with one_process_at_a_time("images"):
        return _ensure(base_url, PYTHON, _import_python, pulled="python:3.11-slim")


def _ensure(base_url: str, name: str, make: Any, *, pulled: str) -> str:
    engine = client(base_url, timeout_s=IMPORT_TIMEOUT_S)
    try:
        try:
            engine.images.get(name)
            return name
        except ImageNotFound:
            pass
        try:
            make(engine)
        except ServiceUnavailableError as cannot_make:
            try:
                engine.images.pull(pulled).tag(name)
            except (APIError, DockerException) as cannot_pull:
                raise ServiceUnavailableError(
                    f"the image {name} can neither be made ({cannot_make}) nor pulled ({cannot_pull})"
                ) from None
        return name
    finally:
        engine.close()


def _import_tar(engine: Any, archive: Any, name: str, command: str) -> None:
    repository, _, tag = name.rpartition(":")
    engine.api.import_image_from_data(archive, repository=repository, tag=tag, changes=[PATH_ENV, command])
    engine.images.get(name)


def busybox_archive() -> bytes:
    """Return the file tree of the busybox image, as a tar archive.

    Raises
    ------
    ServiceUnavailableError
        There is no busybox here.
    """
    binary = shutil.which("busybox")
    if binary is None:
        raise ServiceUnavailableError("`busybox` is not installed")
    applets = run([binary, "--list"], timeout_s=60).split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add_directories(tar)
        tar.add(Path(binary).resolve(), "bin/busybox", filter=_owned_by_root)
        for applet in applets:
            if applet != "busybox":
                _add_link(tar, f"bin/{applet}", "busybox")
        _add_link(tar, "usr/bin/env", "../../bin/env")
        _add_file(
            tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
        )
        _add_file(tar, "etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    return buffer.getvalue()


def _import_busybox(engine: Any) -> None:
    _import_tar(engine, busybox_archive(), BUSYBOX, 'CMD ["sh"]')
    # A busybox that needs shared libraries imports well and runs nothing.
    try:
        engine.containers.run(BUSYBOX, ["true"], remove=True, network_disabled=True)
    except (APIError, DockerException) as error:
        engine.images.remove(BUSYBOX, force=True)
        raise ServiceUnavailableError(
            f"the busybox of this machine does not run by itself: {error}"
        ) from None


def python_archive() -> Path:
    """Return the file tree of the Python image, as a tar archive; it is made when missing (about a minute).

    Raises
    ------
    ServiceUnavailableError
        debootstrap is not usable here.
    """
    archive = cache_dir() / f"python-{PYTHON_SUITE}.tar"
    with one_process_at_a_time("python-tree"):
        if not archive.exists():
            _debootstrap(archive)
    return archive


def _import_python(engine: Any) -> None:
    with python_archive().open("rb") as stream:
        _import_tar(engine, _Chunks(stream), PYTHON, 'CMD ["python3"]')


class _Chunks:
    """A file as an iterable of chunks, which the HTTP client sends without reading it whole."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._stream.read(1 << 20):
            yield chunk


def _debootstrap(archive: Path) -> None:
    if not is_root():
        raise ServiceUnavailableError("only root can run debootstrap")
    if shutil.which("debootstrap") is None:
        raise ServiceUnavailableError("`debootstrap` is not installed")
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix="python-") as scratch:
        root = Path(scratch) / "root"
        packages = "--include=python3-minimal,python3"
        run(
            ["debootstrap", "--variant=minbase", packages, PYTHON_SUITE, str(root)],
            timeout_s=DEBOOTSTRAP_TIMEOUT_S,
        )
        for useless in (
            "var/cache/apt",
            "var/lib/apt/lists",
            "usr/share/doc",
            "usr/share/man",
            "usr/share/locale",
        ):
            shutil.rmtree(root / useless, ignore_errors=True)
        (root / "usr/local/bin/python").symlink_to("../../bin/python3")
        partial = Path(scratch) / "image.tar"
        skipped = ["--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*"]
        run(["tar", "-C", str(root), "--numeric-owner", *skipped, "-cf", str(partial), "."], timeout_s=120)
        partial.replace(archive)


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _add_directories(tar: tarfile.TarFile) -> None:
    for path in ("bin", "dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "usr/bin", "var"):
        member = tarfile.TarInfo(path)
        member.type = tarfile.DIRTYPE
        member.mode = 0o1777 if path == "tmp" else 0o755
        tar.addfile(member)


def _add_link(tar: tarfile.TarFile, path: str, target: str) -> None:
    member = tarfile.TarInfo(path)
    member.type, member.linkname, member.mode = tarfile.SYMTYPE, target, 0o777
    tar.addfile(member)


def _add_file(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))
