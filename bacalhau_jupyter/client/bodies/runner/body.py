"""Runs ``cell.py`` as ``__main__``: variables in, the body, its last value shown, variables out."""

# ruff: noqa: PTH100, PTH109, PTH112, PTH118, PTH123, SIM105
# pathlib alone would add a tenth to the start of every cell.
from __future__ import annotations

import builtins
import json
import os
import sys

from .places import CELL, FONTS, KIT, MODULES, PACKAGES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

AGAIN = "_bacalhau_cell"
"""The module of the kit by which a spawned process runs the body again, under another name than ``__main__``."""
_LAST = " last value"
"""What the last expression is stored as; no body can have such a name."""
_ONLY_AST, _TOP_LEVEL_AWAIT, _COROUTINE = 0x400, 0x2000, 0x80


def main() -> int:
    """Run the cell; return the exit code."""
    from . import channel

    channel.open_channel()
    spec = _spec()
    if "tables" in spec:
        from . import sql

        _enter_writable(spec)
        _add_packages()
        return max(sql.main(spec, parameters()), _flush())
    module = type(sys)("__main__")
    # Spawned processes import the main module by this name: a second run needs the notebook's variables, too.
    module.__spec__ = type(sys.__spec__)(AGAIN, None, origin=CELL)
    module.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = module
    sys.argv = [CELL, *spec.get("argv", ())]
    _set_out(spec)
    code = 0
    try:
        fill(module.__dict__, spec, shows=True)
    except SystemExit:
        raise
    except BaseException as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
        _show_error(spec)
    finally:
        _show_figures()
    if code == 0 and spec["out"]:
        from . import variables

        outputs = os.path.join(os.environ.get("BACALHAU_OUTPUTS", "outputs"), ".bacalhau")
        code = variables.save_all(spec["out"], module.__dict__, outputs, call=spec.get("call", ""))
    return max(code, _flush())


def again(namespace: dict[str, Any]) -> None:
    """Run the body in a spawned process, whose main module it is."""
    builtins.display = _display  # type: ignore[attr-defined]
    fill(namespace, _spec(), shows=False)


def fill(namespace: dict[str, Any], spec: dict[str, Any], *, shows: bool) -> None:
    """Load the notebook's variables into a module's namespace and run the body there."""
    namespace["__file__"] = CELL
    if spec["in"]:
        from . import variables

        if "python" in spec:
            variables.check_python(spec["python"])
        for name, (file, kind) in spec["in"].items():
            namespace[name] = variables.load(os.path.normpath(os.path.join(KIT, "in", file)), kind)
        if spec.get("source"):
            variables.show_lines(namespace["call"].func, spec["call"], spec["source"])
    namespace.update(parameters())
    code = _compiled(_text(), namespace, shows)
    result = eval(code, namespace)
    if code.co_flags & _COROUTINE:
        import asyncio

        if sys.platform == "wasi":
            from . import waiting

            waiting.run(result)
        else:
            asyncio.run(result)
    value = namespace.pop(_LAST, None)
    if value is not None:
        _display(value)


def parameters() -> dict[str, Any]:
    """Return the parameters of a sweep's job; a variable of that name that is something else is left alone."""
    try:
        values = json.loads(os.environ.get("SWEEP_PARAMETERS", "{}"))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _spec() -> dict[str, Any]:
    with open(os.path.join(KIT, "cell.json"), "rb") as file:
        spec: dict[str, Any] = json.loads(file.read())
    return spec


def _text() -> str:
    with open(CELL, encoding="utf-8", newline="") as file:
        return file.read()


def _compiled(text: str, namespace: dict[str, Any], shows: bool) -> CodeType:
    tree: Any = None
    try:
        tree = compile(text, CELL, "exec", _ONLY_AST | _TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError:
        pass
    if tree is None:
        # Lines that start with ! are no Python.
        from . import shell

        text = shell.without_commands(text, CELL)
        tree = compile(text, CELL, "exec", _ONLY_AST | _TOP_LEVEL_AWAIT, dont_inherit=True)
        namespace.update(shell.functions(namespace))
    if shows and tree.body:
        _store_last(tree, text)
    code: CodeType = compile(tree, CELL, "exec", _TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


def _store_last(tree: Any, text: str) -> None:
    """Turn a last expression into an assignment, unless a semicolon follows it."""
    from _ast import Assign, Expr, Name, Store

    last = tree.body[-1]
    if not isinstance(last, Expr):
        return
    lines = text.encode("utf-8", "replace").split(b"\n")[(last.end_lineno or 1) - 1 :]
    rest = b"\n".join([lines[0][last.end_col_offset :], *lines[1:]])
    if rest.lstrip(b" \t)\r\n").startswith(b";"):
        return
    place: dict[str, Any] = {
        "lineno": last.lineno,
        "col_offset": last.col_offset,
        "end_lineno": last.end_lineno,
        "end_col_offset": last.end_col_offset,
    }
    tree.body[-1] = Assign(
        targets=[Name(id=_LAST, ctx=Store(), **place)], value=last.value, type_comment=None, **place
    )


def _set_out(spec: dict[str, Any]) -> None:
    """Prepare what a body finds: a directory that it can write to, its import paths, ``display``."""
    _enter_writable(spec)
    sys.path[0] = os.getcwd()
    if os.path.isdir(MODULES):
        sys.path.insert(1, MODULES)
    _add_packages()
    # Last: what somebody else put into the inputs must not stand for a module of the library.
    sys.path += [KIT, os.environ.get("BACALHAU_INPUTS", os.path.abspath("inputs"))]
    builtins.display = _display  # type: ignore[attr-defined]
    os.environ.setdefault("MPLBACKEND", "module://_bacalhau_job.figures")
    os.environ.setdefault("PLOTLY_RENDERER", "plotly_mimetype")
    sys.meta_path.insert(0, _DisplayFinder)


def _enter_writable(spec: dict[str, Any]) -> None:
    if not spec.get("stays"):
        from . import directory

        directory.enter_writable()


def _add_packages() -> None:
    """Let the body import the packages of ``--pip``."""
    if os.path.isdir(PACKAGES):
        from . import packages

        packages.add(PACKAGES)


class _DisplayFinder:
    """Notices imports that need something of us, such as IPython's displays, which must use our channel."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if name in ("IPython", "altair") or name.startswith("IPython."):
            from . import ipython

            return ipython.find_spec(name, path, target)
        if name == "matplotlib" and os.path.isdir(FONTS):
            from . import fonts

            fonts.take()
        return None


def _display(*objects: Any, **options: Any) -> Any:
    """Show objects in the notebook, as IPython's ``display`` does."""
    from . import displays

    return displays.display(*objects, **options)


_display.__name__ = _display.__qualname__ = "display"


def _show_figures() -> None:
    """Show the figures that the body left open."""
    figures = sys.modules.get(__package__ + ".figures")
    if figures is not None:
        try:
            figures.show()
        except Exception:
            _show_error({})


def _show_error(spec: dict[str, Any]) -> None:
    from . import errors

    errors.show_error(spec)


def _flush() -> int:
    """Empty the streams; a body may have closed them, but what can't be written any more is a failure."""
    code = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError, AttributeError):
            code = 1
    return code
