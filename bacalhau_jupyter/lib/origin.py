"""Which component of the software some code belongs to: what its module, or the nearest package, says."""

from __future__ import annotations

import sys
from types import FrameType


def component_of_caller(inside: str) -> str:
    """Return the ``COMPONENT`` of the code that called, or an empty text.

    A room says it once, in its ``__init__`` (``COMPONENT = "Gateway"``); a module of it may say otherwise.

    Parameters
    ----------
    inside
        The calling module, whose own frames are skipped.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") == inside:
        frame = frame.f_back
    name = "" if frame is None else str(frame.f_globals.get("__name__", ""))
    while name:
        component = getattr(sys.modules.get(name), "COMPONENT", None)
        if isinstance(component, str):
            return component
        name = name.rpartition(".")[0]
    return ""
