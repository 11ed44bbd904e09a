"""Which Python a job of this machine runs with, and what it must see to import what that Python imports."""

from __future__ import annotations

import json
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.errors import BadRequest

_ASK_TIMEOUT_S = 30.0

# Runs in the other interpreter, so it has no imports of ours.
_ASK = """
import json, os, site, sys
real = os.path.dirname(os.path.dirname(os.path.realpath(sys.executable)))
print(json.dumps({"executable": sys.executable, "prefixes": [sys.prefix, sys.base_prefix, sys.exec_prefix, real],
 "path": [each for each in sys.path if each and os.path.isdir(each)],
 "user": site.getusersitepackages() if site.ENABLE_USER_SITE else ""}))
"""


def own_python() -> dict[str, Any]:
    """Describe this process's Python: executable, prefixes, and the paths it imports from beyond them."""
    prefixes = [sys.prefix, sys.base_prefix, sys.exec_prefix, str(Path(sys.executable).resolve().parents[1])]
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    # Where the notebook or a script lies is an import path by accident: its files travel with -i.
    own = {str(Path.cwd()), str(Path(script).resolve().parent) if script else ""}
    usable = [path for path in sys.path if path and path not in own and Path(path).is_dir()]
    user_site = site.getusersitepackages() if site.ENABLE_USER_SITE else ""
    return _described(sys.executable, prefixes, usable, user_site)


def python_of(executable: str) -> dict[str, Any]:
    """Describe another Python of this machine, as `own_python` does; it is asked itself.

    Raises
    ------
    BadRequest
        It can't be started, or is not a Python.
    """
    if executable in ("python", "python3", sys.executable):
        return own_python()
    try:
        done = subprocess.run(
            [executable, "-c", _ASK], capture_output=True, text=True, timeout=_ASK_TIMEOUT_S, check=True
        )
        description = json.loads(done.stdout)
        return _described(
            description["executable"], description["prefixes"], description["path"], description["user"]
        )
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        raise BadRequest(
            f"{executable} can't report its Python: {type(error).__name__}",
            hint="name another kernel (--kernel), or an image (--image)",
        ) from error


def joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return ``first`` with what ``second`` imports visible, too (a runner of one Python, a kernel of another)."""
    return {
        **first,
        "Prefixes": _unique([*first["Prefixes"], *second["Prefixes"]]),
        "Paths": _unique([*first["Paths"], *second["Paths"]]),
    }


def _described(
    executable: str, prefixes: Sequence[str], path: Sequence[str], user_site: str
) -> dict[str, Any]:
    inside = _unique(prefixes)
    outside = [each for each in path if not any(Path(each).is_relative_to(prefix) for prefix in inside)]
    if user_site and Path(user_site).is_dir() and user_site not in outside:
        outside.append(user_site)
    return {"Executable": executable, "Prefixes": inside, "Paths": _unique(outside)}


def _unique(paths: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(paths))
