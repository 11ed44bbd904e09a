"""Gives Matplotlib the list of fonts that came along, in a directory that it can write to."""

# ruff: noqa: PTH118, PTH123, PTH208
from __future__ import annotations

import os
import tempfile

from .places import FONTS


def take() -> None:
    """Set Matplotlib's directory, unless the job names one."""
    if "MPLCONFIGDIR" in os.environ:
        return
    try:
        place = tempfile.mkdtemp(prefix="matplotlib-")
        for name in os.listdir(FONTS):
            with open(os.path.join(FONTS, name), "rb") as read, open(os.path.join(place, name), "wb") as file:
                file.write(read.read())
    except OSError:
        return
    os.environ["MPLCONFIGDIR"] = place
