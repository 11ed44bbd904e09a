"""Python environments that a node may show to its own process jobs, and the names of them in specs."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.models.codec import Wire, always

FEATURE = "python-environments"
"""With this feature a node says that it keeps environments, and that specs name them by their hash."""

PATH = "/api/v1/agent/environments"


class PythonDescription(Wire):
    """What a Python says of itself.

    Attributes
    ----------
    executable
        The interpreter.
    prefixes
        Its own prefix, that of what it was made from, and where the real executable lies.
    paths
        What it imports from beyond those: the user site, targets of ``.pth`` files.
    """

    executable: str = always("")
    prefixes: list[str] = always([])
    paths: list[str] = always([])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is named."""
        return not (self.executable or self.prefixes or self.paths)

    def tidy(self) -> PythonDescription:
        """Return it in its one spelling: normal paths, each once, in order."""
        return PythonDescription(
            executable=normal_path(self.executable),
            prefixes=sorted({normal_path(each) for each in self.prefixes}),
            paths=sorted({normal_path(each) for each in self.paths}),
        )


class RegisteredEnvironment(Wire):
    """The answer to a registration: the environment's name in specs, and the import paths that jobs won't see."""

    environment: str = always("")
    not_shown: list[str] = always([])


class KnownEnvironment(Wire):
    """One of the environments that a node keeps."""

    environment: str = always("")
    description: PythonDescription = always(PythonDescription())


class ListEnvironmentsResponse(Wire):
    """Every environment that a node keeps."""

    environments: list[KnownEnvironment] = always([])


def environment_hash(description: PythonDescription) -> str:
    """Return the SHA-256 (hex) by which a spec names an environment: equal descriptions have equal names."""
    tidy = description.tidy()
    plain = [tidy.executable, tidy.prefixes, tidy.paths]
    return hashlib.sha256(json.dumps(plain, ensure_ascii=True).encode()).hexdigest()


def reference(name: str) -> Mapping[str, Any]:
    """Return ``Params.Python`` of a process task for a registered environment."""
    return {"Environment": name}


def normal_path(text: str) -> str:
    """Return the shortest spelling of a path; two leading slashes are one, whatever POSIX leaves open."""
    if not text:
        return ""
    path = posixpath.normpath(text)
    return "/" + path.lstrip("/") if path.startswith("/") else path
