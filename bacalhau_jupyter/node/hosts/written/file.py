"""``hosts.yaml`` of the repo (0600): which Docker hosts run jobs. A wrong entry, edited by hand, stops no other."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bacalhau_jupyter.config.files import io_explained, locked, write_atomic
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ConfigurationError
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.yamltext import read_words
from bacalhau_jupyter.node.hosts.naming import COMPONENT
from bacalhau_jupyter.node.hosts.written.editing import SECTION, with_entry, without_entry
from bacalhau_jupyter.node.hosts.written.entries import HostEntry, to_file
from bacalhau_jupyter.node.hosts.written.reading import read_entry

NAME = "hosts.yaml"
SIZE_LIMIT = 1_000_000
"""Bytes that the file may have."""
MOST_HOSTS = 200


@dataclass(frozen=True)
class Written:
    """What the file says.

    Attributes
    ----------
    problems
        What is wrong in it, by the name of the entry; the whole file's problem stands under the empty name.
    """

    entries: dict[str, HostEntry] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


class HostsFile:
    """The file. All methods block.

    Parameters
    ----------
    directory
        The repo directory.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME

    def stamp(self) -> tuple[int, int, int] | None:
        """Return what differs when the file was changed; None where there is none."""
        try:
            info = self.path.stat()
        except OSError:
            return None
        return info.st_mtime_ns, info.st_size, info.st_ino

    def read(self) -> Written:
        """Return what the file says; what is wrong in it is told, and hinders nothing else."""
        try:
            return read_hosts(self._text())
        except (OSError, BadRequest) as error:
            reason = error.message if isinstance(error, BadRequest) else error.strerror or str(error)
            return Written(problems={"": f"{self.path} can't be read: {reason}"})

    def put(self, entry: HostEntry) -> None:
        """Write an entry in place of the one of its name; the rest of the file stays as it is.

        Raises
        ------
        ConfigurationError
            The file is not valid YAML now; a person must mend it.
        IOFailure
            It can't be written.
        """
        self._change(lambda text: with_entry(text, entry.name, to_file(entry)))

    def remove(self, name: str) -> None:
        """Take an entry out; raises as `put`."""
        self._change(lambda text: without_entry(text, name))

    def _change(self, edit: Callable[[str], str]) -> None:
        with io_explained("can't lock", self.path), locked(self.path):
            try:
                text = self._text()
                _section(text)
            except (OSError, BadRequest) as error:
                raise ConfigurationError(
                    f"{self.path} can't be changed, because it can't be read: {error}",
                    hint="correct it, or move it away",
                    component=COMPONENT,
                ) from error
            write_atomic(self.path, edit(text))

    def _text(self) -> str:
        try:
            info = self.path.stat()
            if not stat.S_ISREG(info.st_mode):
                # A pipe would be waited for, and a device has no end.
                raise BadRequest("it is no file", component=COMPONENT)
            if info.st_size > SIZE_LIMIT:
                raise BadRequest(f"it has more than {SIZE_LIMIT:,} bytes", component=COMPONENT)
            return read_text(self.path)
        except FileNotFoundError:
            return ""
        except UnicodeError as error:
            raise BadRequest("it is not UTF-8", component=COMPONENT) from error


def read_hosts(text: str) -> Written:
    """Read the text of the file.

    Raises
    ------
    BadRequest
        The text is not YAML, or has another form.
    """
    written = Written()
    section = _section(text)
    for position, (key, raw) in enumerate(section.items()):
        name = str(key)
        if position >= MOST_HOSTS:
            written.problems[""] = f"there are more than {MOST_HOSTS} hosts; the others are left out"
            break
        try:
            written.entries[name] = read_entry(name, raw)
        except BacalhauError as error:
            written.problems[shown(name[:60])] = error.message
    return written


def _section(text: str) -> dict[object, object]:
    try:
        plain = read_words(text)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it is nested too deeply"
        raise BadRequest(
            f"it is not YAML{where}: {shown(str(problem)[:200])}", component=COMPONENT
        ) from error
    if plain is None:
        return {}
    if not isinstance(plain, dict):
        raise BadRequest(f"it is no mapping with the member {SECTION}", component=COMPONENT)
    if unknown := [str(key) for key in plain if key != SECTION]:
        raise BadRequest(
            f"there is no member {shown(unknown[0][:60])!r}, only {SECTION}", component=COMPONENT
        )
    section = plain.get(SECTION)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise BadRequest(f"{SECTION} is no mapping of names to hosts", component=COMPONENT)
    return section
