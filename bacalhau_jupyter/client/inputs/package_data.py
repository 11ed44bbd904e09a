"""Which files of a package beside a notebook may travel: Python files, and data that its project declares."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

_CODE = (".py", ".pyi")
_MARKER = "py.typed"
_SECRET = re.compile(
    r"(?i)(.*\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc|gpg)|id_(rsa|dsa|ecdsa|ed25519).*"
    r"|.*(credential|secret|password|token|service.account).*|(.*[._-])?env|.*\.ipynb)"
)
"""Names that are secrets as a rule, and notebooks with their outputs: a pattern that is too wide must not show them."""


def package_data(folder: Path, package: str) -> Callable[[str], bool]:
    """Return what says whether a file of a package travels, by its path in the package.

    Parameters
    ----------
    folder
        Holds the package and, perhaps, its ``pyproject.toml`` with a table ``[tool.setuptools.package-data]``.
    package
        The package's name.
    """
    patterns = _declared(folder / "pyproject.toml", package)

    def travels(path: str) -> bool:
        name = PurePosixPath(path).name
        if name.endswith(_CODE) or name == _MARKER:
            return True
        return any(pattern.fullmatch(path) for pattern in patterns) and not _SECRET.fullmatch(name)

    return travels


def _declared(project: Path, package: str) -> list[re.Pattern[str]]:
    """Return the patterns of a project for a package and its subpackages; none where it is no such file."""
    try:
        table: Any = tomllib.loads(project.read_bytes().decode())
        declared = table["tool"]["setuptools"]["package-data"]
        chosen = []
        for name, patterns in dict(declared).items():
            if name in ("*", "") or name == package or name.startswith(f"{package}."):
                inner = name[len(package) + 1 :].replace(".", "/") if name.startswith(f"{package}.") else ""
                chosen += [_pattern(f"{inner}/{each}" if inner else str(each)) for each in patterns]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []
    return chosen


def _pattern(glob: str) -> re.Pattern[str]:
    """Translate a pattern as setuptools reads it: ``*`` stays within a directory, ``**`` does not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob.removeprefix("./"))
    means = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(means.get(part, re.escape(part)) for part in parts))
