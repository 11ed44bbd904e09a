"""The text that starts a module of ours in a Python without its ``site``: in milliseconds, and with nothing else."""

from __future__ import annotations

from pathlib import Path

PACKAGE = str(Path(__file__).parents[3])
"""Where our packages lie; the first argument of the program."""

# Our packages are given as empty shells: what their own __init__ modules import would cost more than all the rest.
_TEXT = """
import sys
path, name = sys.argv[1], ""
for part in ("bacalhau_jupyter", "engines", "supervised"):
    path, name = path + "/" + part, (name + "." + part).lstrip(".")
    sys.modules[name] = type(sys)(name)
    sys.modules[name].__path__ = [path]
from {module} import main
main()
"""


def program(module: str) -> str:
    """Return what ``python -I -S -c`` runs, with `PACKAGE` as its first argument, to call a module's ``main``."""
    return _TEXT.format(module=module)
