"""Modules and packages that lie beside a notebook, as a snapshot for a job that imports them.

Only what the code names travels: the imports of the body, and of the modules that they lead to. Most cells name
nothing that lies there and carry nothing. Of a package, Python files travel, and the data that the ``pyproject.toml``
beside the notebook declares (`package_data`); all else stays, because nobody said that it may be shown to a job.
"""

from __future__ import annotations

import ast
import os
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from bacalhau_jupyter.client.inputs.package_data import package_data
from bacalhau_jupyter.lib.trees import walk
from bacalhau_jupyter.models.jobs.units import format_bytes

SNAPSHOT_BYTES = 10_000_000
_DEEPEST = 32
_MOST_FILES = 5000
_SCANNED_BYTES = 2_000_000
"""Larger modules travel, but their own imports are not looked for."""


@dataclass
class Snapshot:
    """Modules beside a notebook.

    Attributes
    ----------
    files
        Path relative to the notebook's folder → content.
    warning
        One line for the person where what the code needs could not travel, else empty.
    left_out
        Paths of the other files of packages that travel.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    warning: str = ""
    left_out: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """Which files of packages stay behind, in one line; empty if none does."""
        return f"not sent of packages beside the notebook: {_few(self.left_out)}" if self.left_out else ""


class _TooLarge(Exception):
    """The snapshot has more bytes or files than may travel."""


def snapshot(codes: Iterable[str], folders: Iterable[Path]) -> Snapshot:
    """Return the modules that some code imports from these folders.

    Parameters
    ----------
    codes
        Python source; what can't be parsed is taken without its wrong lines.
    folders
        Where modules are looked for, in this order.
    """
    taken = Snapshot()
    places = [folder for folder in folders if folder.is_dir()]
    pending = sorted({name for code in codes for name in imported(code)})
    looked_up: set[str] = set()
    size = 0
    while pending:
        name = pending.pop()
        if name in looked_up:
            continue
        looked_up.add(name)
        for folder in places:
            left_out: list[str] = []
            try:
                files = _module(folder, name, SNAPSHOT_BYTES - size, left_out)
            except _TooLarge:
                taken.warning = (
                    f"{folder / name} stays behind: with it, more than {format_bytes(SNAPSHOT_BYTES)} of modules "
                    "would travel with the cell. Declare less package-data, or install it for this kernel"
                )
                break
            if files:
                taken.files |= files
                taken.left_out += left_out
                taken.warning = taken.warning or _missing(files, left_out)
                size += sum(map(len, files.values()))
                for path, data in files.items():
                    if path.endswith(".py") and len(data) <= _SCANNED_BYTES:
                        pending += imported(data.decode("utf-8", "replace"))
                break
    return taken


def imported(code: str) -> list[str]:
    """Return the first parts of the names of the modules that the code imports, wherever it does."""
    if "import" not in code:
        return []
    tree = _parsed(code)
    names: list[str] = []
    for node in ast.walk(tree) if tree is not None else ():
        if isinstance(node, ast.Import):
            names += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and node.args:
            names += _by_function(node)
    return names


def _by_function(call: ast.Call) -> list[str]:
    """Return the module of ``importlib.import_module("…")`` and ``__import__("…")``."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    first = call.args[0]
    if name in ("import_module", "__import__") and isinstance(first, ast.Constant):
        return [str(first.value).partition(".")[0]]
    return []


def _parsed(code: str) -> ast.AST | None:
    """Parse code; lines that are no Python (``!ls``, ``%magic``) are left out."""
    lines = code.split("\n")
    for _ in range(100):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse("\n".join(lines))
        except SyntaxError as error:
            number = (error.lineno or 0) - 1
            if not 0 <= number < len(lines) or not set("!%") & set(lines[number]):
                return None
            line = lines[number]
            lines[number] = line[: len(line) - len(line.lstrip())] + "pass"
        except (ValueError, RecursionError, MemoryError):
            return None
    return None


def _missing(files: Mapping[str, bytes], left_out: Sequence[str]) -> str:
    """Return a warning if the code of a package names files of it that stay behind."""
    code = b"\n".join(data for path, data in files.items() if path.endswith(".py"))
    named = [path for path in left_out if os.fsencode(PurePosixPath(path).name) in code]
    if not named:
        return ""
    return (
        f"not sent: {_few(named)}. Of packages beside the notebook only Python files travel. Bring data with -i, "
        "or declare it in pyproject.toml ([tool.setuptools.package-data])"
    )


def _few(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more


def _module(folder: Path, name: str, room: int, left_out: list[str]) -> dict[str, bytes]:
    """Return the files of one module or package; empty where the folder has none of that name."""
    if not name.isidentifier():
        return {}
    package = folder / name
    top = _device(folder)
    if package.is_dir() and not package.is_symlink() and any(package.glob("*.py")):
        travels = package_data(folder, name)
        return dict(_contents(package, name, top, room, travels, left_out))
    module = folder / f"{name}.py"
    if not module.is_file() or not _is_inside(module, folder):
        return {}
    if module.stat().st_size > room:
        raise _TooLarge
    return {module.name: module.read_bytes()} if _device(module) == top else {}


def _contents(
    package: Path, name: str, device: int, room: int, travels: Callable[[str], bool], left_out: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Yield a package's files that travel: none that is hidden, a link, or of another file system."""
    passed: list[str] = []
    count = 0
    for entry in walk(package, lambda path, error: None, deepest=_DEEPEST):
        if entry.path and any(f"{entry.path}/".startswith(each) for each in passed):
            continue
        is_directory = stat.S_ISDIR(entry.info.st_mode)
        hidden = entry.path != "" and (entry.name.startswith(".") or entry.name == "__pycache__")
        if hidden or entry.info.st_dev != device:
            if is_directory:
                passed.append(f"{entry.path}/")
            continue
        if is_directory or not stat.S_ISREG(entry.info.st_mode):
            continue
        if not travels(entry.path):
            if len(left_out) < _MOST_FILES:
                left_out.append(f"{name}/{entry.path}")
            continue
        room -= entry.info.st_size
        count += 1
        if room < 0 or count > _MOST_FILES:
            raise _TooLarge
        try:
            descriptor = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=entry.directory)
        except OSError:
            continue
        with open(descriptor, "rb") as file:  # noqa: PTH123
            yield f"{name}/{entry.path}", file.read(entry.info.st_size)


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a file, or what a link leads to, lies in the folder."""
    return not path.is_symlink() or path.resolve().is_relative_to(folder.resolve())


def _device(path: Path) -> int:
    return path.stat().st_dev
