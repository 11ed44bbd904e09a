"""Lets IPython's ``display`` use our channel, and Altair show its charts as data.

Where IPython is missing, there is a small stand-in for ``IPython.display``.
"""

from __future__ import annotations

import sys

from . import displays

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FUNCTIONS = "IPython.core.display_functions"
_NAMES = ("DisplayHandle", "clear_output", "display", "publish_display_data", "update_display")
_stands_in = False


def find_spec(name: str, path: Any, target: Any) -> Any:
    """Find Altair, or a module of IPython, for the import system."""
    global _stands_in
    if _stands_in and name != "altair":
        return _stand_in(name)
    if name not in ("IPython", "altair", _FUNCTIONS):
        return None
    spec = None
    for finder in sys.meta_path:
        if finder.__module__ != __package__ + ".body":
            spec = finder.find_spec(name, path, target)
        if spec is not None:
            break
    if name == "IPython":
        _stands_in = spec is None
        return _stand_in(name) if spec is None else spec
    if spec is not None and spec.loader is not None:
        patching: Any = _Patching(
            spec.loader, _show_charts_as_data if name == "altair" else _use_our_functions
        )
        spec.loader = patching
    return spec


def _use_our_functions(module: Any) -> None:
    for name in _NAMES:
        setattr(module, name, getattr(displays, name))


def _show_charts_as_data(module: Any) -> None:
    # Its default is a page with scripts, which a notebook does not run for a job.
    try:
        module.renderers.enable("mimetype")
    except Exception:
        # Another release may have no such renderer; its charts then come as their own HTML or text.
        return


class _Patching:
    """Loads a module, then changes it."""

    def __init__(self, loader: Any, change: Any) -> None:
        self._loader = loader
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        self._change(module)


def _stand_in(name: str) -> Any:
    if name not in ("IPython", "IPython.display", "IPython.core", "IPython.core.display"):
        return None
    from importlib.machinery import ModuleSpec

    loader: Any = _StandIn()
    return ModuleSpec(name, loader, is_package=name in ("IPython", "IPython.core"))


class _StandIn:
    """Loads the stand-in."""

    def create_module(self, spec: Any) -> Any:
        del spec

    def exec_module(self, module: Any) -> None:
        if module.__name__.endswith(".display"):
            from . import objects

            public = {name: value for name, value in vars(objects).items() if not name.startswith("_")}
            public.update({name: getattr(displays, name) for name in _NAMES})
            vars(module).update(public)
        elif module.__name__ == "IPython":
            module.get_ipython = lambda: None
            module.version_info = (0, 0, 0)
