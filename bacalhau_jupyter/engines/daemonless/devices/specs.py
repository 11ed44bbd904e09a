"""CDI specifications on this machine: which devices they have, by the kind and the name that a tool gave them."""

from __future__ import annotations

import functools
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bacalhau_jupyter.engines.daemonless.devices.edits import Edits, Unusable, parse_edits
from bacalhau_jupyter.models.yamltext import read_yaml

DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
"""Where specifications lie; a device of a later directory goes before that of an earlier one."""
_ENDINGS = (".yaml", ".json")
_MAX_BYTES = 4 << 20
_MAX_FILES = 200
_VERSIONS = ("0", "1")
_REMEMBERED = 16


@dataclass(frozen=True)
class Specification:
    """One file: its devices of all kinds by their full names, or why it can't be used."""

    devices: Mapping[str, Edits] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


def find(names: Sequence[str], directories: Sequence[Path]) -> Edits:
    """Return what the first device that is there takes.

    Parameters
    ----------
    names
        Full names of one device (``nvidia.com/gpu=0``), first choice first.
    directories
        Where specifications lie, the most important last.

    Raises
    ------
    Unusable
        No specification has such a device, two have it, or it can't be used here.
    """
    problems: list[str] = []
    for directory in reversed(directories):
        read = [(path, _remembered(str(path), *facts)) for path, facts in _files(directory)]
        for name in names:
            having = [each for each in read if name in each[1].devices or name in each[1].unusable]
            if len(having) > 1:
                raise Unusable(f"{having[0][0]} and {having[1][0]} both define {name}")
            for path, specification in having:
                if problem := specification.unusable.get(name):
                    raise Unusable(f"{path} defines {name}, but {problem}")
                return specification.devices[name]
        problems += [f"{path}: {each.problem}" for path, each in read if each.problem]
    if problems:
        raise Unusable(f"no CDI specification has {names[0]}, and one can't be read ({problems[0]})")
    raise Unusable(f"no CDI specification has {names[0]}")


def _files(directory: Path) -> Iterator[tuple[Path, tuple[int, int, int]]]:
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix in _ENDINGS)
    except OSError:
        return
    for path in paths[:_MAX_FILES]:
        try:
            facts = path.stat()
        except OSError:
            continue
        if stat.S_ISREG(facts.st_mode):
            yield path, (facts.st_ino, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=_REMEMBERED)
def _remembered(path: str, inode: int, size: int, changed_ns: int) -> Specification:
    """Read a file once, until it is another one; each bid for a GPU asks."""
    try:
        if size > _MAX_BYTES:
            return Specification(problem=f"larger than {_MAX_BYTES} bytes")
        with Path(path).open("rb") as file:
            text = file.read(_MAX_BYTES + 1).decode("utf-8")
        return parse_specification(read_yaml(text))
    except Unusable as reason:
        return Specification(problem=str(reason))
    except OSError as error:
        return Specification(problem=(error.strerror or str(error)).lower())
    except (yaml.YAMLError, ValueError, RecursionError):
        return Specification(problem="not YAML or JSON")


def parse_specification(document: object) -> Specification:
    """Return the devices of a specification.

    Raises
    ------
    Unusable
        It is not a specification, or its version is not known.
    """
    if not isinstance(document, dict):
        raise Unusable("it is not a CDI specification")
    version, kind = str(document.get("cdiVersion") or ""), document.get("kind")
    if version.partition(".")[0] not in _VERSIONS:
        raise Unusable(f"it has the version {version[:20]!r}, which is not known here")
    entries = document.get("devices")
    if not isinstance(kind, str) or "/" not in kind or not isinstance(entries, list):
        raise Unusable("it has no kind or no devices")
    devices: dict[str, Edits] = {}
    unusable: dict[str, str] = {}
    common, trouble = _edits(document.get("containerEdits") or {})
    for entry in entries:
        name = str(entry.get("name") if isinstance(entry, dict) else "")
        if not name:
            raise Unusable("it has a device without a name")
        full = f"{kind}={name}"
        own, problem = _edits(entry.get("containerEdits") or {})
        if problem or trouble:
            unusable[full] = problem or trouble
        else:
            devices[full] = common + own
    return Specification(devices, unusable)


def _edits(value: object) -> tuple[Edits, str]:
    try:
        return parse_edits(value), ""
    except Unusable as reason:
        return Edits(), str(reason)
