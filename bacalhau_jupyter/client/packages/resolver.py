"""Runs uv: resolves requirements to a lock, and makes a directory of the wheels that it names. Blocks."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.client.packages.bytecode import compile_below
from bacalhau_jupyter.client.packages.extras import check_extras
from bacalhau_jupyter.client.packages.failures import COMPONENT, failure
from bacalhau_jupyter.client.packages.indexes import Redactor, resolver_environment
from bacalhau_jupyter.client.packages.pending import Say, nothing_said
from bacalhau_jupyter.client.packages.requirements import INSTALL, Required, with_file
from bacalhau_jupyter.client.packages.targets import Target
from bacalhau_jupyter.client.packages.wheels import BuiltWheel
from bacalhau_jupyter.lib.text import read_text, write_text
from bacalhau_jupyter.lib.trees import walk
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError, ResourceExhausted
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.text import readable

_WATCH_S = 0.5
_SIGXFSZ = 25
"""How the system ends a program that writes a file beyond its limit."""
_MAX_OUTPUT = 200_000


@dataclass(frozen=True)
class Place:
    """Where packages are made.

    Attributes
    ----------
    site
        The directory to make.
    cache
        Downloads that later sets share.
    room
        Bytes that both may grow by.
    """

    site: Path
    cache: Path
    room: int


@dataclass
class Resolver:
    """Resolves requirements.

    Attributes
    ----------
    program
        uv's path; found where it is empty.
    environment
        The child's, with what is secret in it.
    """

    program: str = ""
    environment: dict[str, str] = field(default_factory=resolver_environment, repr=False)

    def make(
        self,
        required: Sequence[Required],
        target: Target,
        place: Place,
        say: Say = nothing_said,
        built: Sequence[BuiltWheel] = (),
    ) -> list[str]:
        """Resolve requirements and unpack their wheels; return the lock: a line for each distribution.

        What was built is taken as it is, and what it needs comes as wheels.

        Raises
        ------
        ConfigurationError
            uv is missing.
        BadRequest
            There is no set of wheels that fits; the sentence says why.
        ResourceExhausted
            They are too large.
        BacalhauError
            The index can't be reached, or the disk is full.
        """
        program = self.program or find_uv()
        work = place.site.parent
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        requirements, lock = work / "requirements.txt", work / "lock.txt"
        write_text(requirements, "".join(f"{line}\n" for line in _requested(required, built)))
        python = target.executable or sys.executable
        common = ["--no-build", "--cache-dir", str(place.cache), "--color", "never", "--python", python]
        if target.is_elsewhere:
            common += ["--python-version", target.version, "--python-platform", target.platform]
        say(
            "resolving " + ", ".join(each.text for each in required[:3]) + (" …" if len(required) > 3 else "")
        )
        compiling = [program, "pip", "compile", *common, "--generate-hashes", "--no-header", "--no-annotate"]
        self._run([*compiling, "--quiet", "--output-file", str(lock), str(requirements)], target, place, say)
        locked = _pinned(_by_name(_lines(read_text(lock)), built), required)
        if not locked:
            raise BadRequest(
                "none of the requirements applies to the job's Python",
                component=COMPONENT,
                hint="what follows a semicolon, such as python_version, must hold there",
            )
        write_text(lock, "".join(f"{line}\n" for line in locked))
        say(f"fetching {len(locked)} package{'s' if len(locked) > 1 else ''}")
        installing = [
            program,
            "pip",
            "install",
            *common,
            "--no-deps",
            "--require-hashes",
            "--link-mode",
            "hardlink",
        ]
        for wheel in built:
            installing += ["--find-links", str(wheel.path.parent)]
        self._run([*installing, "--target", str(place.site), "-r", str(lock)], target, place, say)
        check_extras(place.site, required)
        for each in (requirements, lock):
            each.unlink(missing_ok=True)
        if target.is_elsewhere:
            _relative_scripts(place.site)
        own_minor = f"{sys.version_info[0]}.{sys.version_info[1]}."
        if not target.is_elsewhere or target.version.startswith(own_minor):
            say("compiling")
            compile_below(place.site, python)
        return locked

    def _run(self, command: list[str], target: Target, place: Place, say: Say) -> None:
        redact = Redactor(self.environment)
        said: list[str] = []
        # The root directory, because uv looks for settings in its own and those above.
        with subprocess.Popen(
            command,
            cwd="/",
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as child:
            watch = _Watch(child, place)
            try:
                assert child.stderr is not None
                size = 0
                for raw in child.stderr:
                    line = readable(redact(raw.decode("utf-8", "replace")).rstrip())
                    size += len(line)
                    if size < _MAX_OUTPUT:
                        said.append(line)
                    if words := _progress(line):
                        say(words)
                child.wait()
            except BaseException:
                child.kill()
                raise
            finally:
                watch.stop()
        if watch.exceeded:
            raise ResourceExhausted(
                f"the packages take more than the {format_bytes(place.room)} that there is room for",
                component=COMPONENT,
                hint="ask for fewer, or let the node keep more (Packages.Quota)",
            )
        if child.returncode:
            raise failure("\n".join(said), target)


class _Watch:
    """Ends a resolver that takes more of the disk than it may: an archive can hold a thousand times its size."""

    def __init__(self, child: subprocess.Popen[bytes], place: Place) -> None:
        self.exceeded = False
        self._child = child
        self._place = place
        self._before = _size(place.cache)
        self._over = threading.Event()
        if sys.platform == "linux":
            import resource

            # No single file is larger, whatever happens between two looks.
            with contextlib.suppress(OSError):
                resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (place.room, place.room))
        self._thread = threading.Thread(target=self._look, name="package watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch; the last look counts, too."""
        self._over.set()
        self._thread.join()
        self.exceeded = self.exceeded or self._is_over()

    def _look(self) -> None:
        while not self._over.wait(_WATCH_S):
            if self._is_over():
                self.exceeded = True
                self._child.kill()
                return

    def _is_over(self) -> bool:
        if self._child.returncode == -_SIGXFSZ:
            return True
        return _size(self._place.cache) - self._before > self._place.room


def find_uv() -> str:
    """Return the path of uv: of this Python, or of the search path.

    Raises
    ------
    ConfigurationError
        It is not there.
    """
    with contextlib.suppress(ImportError, FileNotFoundError):
        from uv import find_uv_bin  # type: ignore[import-not-found,import-untyped,unused-ignore]

        return str(find_uv_bin())
    program = shutil.which("uv")
    if program is None:
        raise ConfigurationError(
            "--pip needs uv, which is not installed for this kernel", component=COMPONENT, hint=f"%{INSTALL}"
        )
    return program


def _lines(lock: str) -> list[str]:
    """Return a line for each distribution of uv's output."""
    joined = re.sub(r"\s*\\\n\s*", " ", lock)
    return [
        line.strip() for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]


def _requested(required: Sequence[Required], built: Sequence[BuiltWheel]) -> list[str]:
    """Return the requirements as uv takes them: of what was built, the one wheel."""
    files = {wheel.name: wheel.path.as_uri() for wheel in built}
    return [with_file(each.text, files[each.name]) if each.name in files else each.text for each in required]


def _by_name(lines: list[str], built: Sequence[BuiltWheel]) -> list[str]:
    """Return the lines of a lock, of what was built by name, version and hash: its place says nothing elsewhere."""
    pinned = {wheel.name: f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}" for wheel in built}
    return [pinned.get(line.partition(" @ ")[0], line) for line in lines]


def _pinned(lines: list[str], required: Sequence[Required]) -> list[str]:
    """Keep of the hashes in a lock only those that a requirement names, where one names any."""
    allowed = {each.name: set(each.hashes) for each in required if each.hashes and not each.is_built}
    result = []
    for line in lines:
        words = line.split(" ")
        name = words[0].partition("==")[0]
        if name in allowed:
            kept = [word for word in words[1:] if word.removeprefix("--hash=") in allowed[name]]
            if not kept:
                raise BadRequest(
                    f"{words[0]} is not the file that the requirements name by its hash",
                    component=COMPONENT,
                    hint="the index may have another file of that version; make the list of hashes anew",
                )
            marker = [word for word in words[1:] if not word.startswith("--hash=")]
            line = " ".join([words[0], *marker, *kept])
        result.append(line)
    return result


def _progress(line: str) -> str:
    words = line.strip()
    if words.startswith("Downloading "):
        name, _, size = words.removeprefix("Downloading ").partition(" (")
        return f"fetching {name}" + (f", {size.rstrip(')')}" if size else "")
    return "unpacking" if words.startswith("Prepared ") else ""


def _relative_scripts(site: Path) -> None:
    """Let commands of packages for another machine start with the Python that is found there."""
    for script in _files(site / "bin"):
        data = script.read_bytes()
        first, line_feed, rest = data.partition(b"\n")
        if first.startswith(b"#!") and b"python" in first and line_feed:
            mode = script.stat().st_mode
            script.unlink()
            script.write_bytes(b"#!/usr/bin/env python3\n" + rest)
            script.chmod(mode & 0o777)


def _files(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from sorted(each for each in directory.iterdir() if each.is_file() and not each.is_symlink())


def _size(directory: Path) -> int:
    total = 0
    try:
        for entry in walk(directory, lambda _path, _error: None):
            total += entry.info.st_blocks * 512
    except OSError:
        pass
    return total
