"""Matplotlib's list of fonts, which takes it a second to make and which no job could keep for the next one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_PLOTS = re.compile(r"matplotlib|plt\b|\.plot|\.hist|seaborn")
_LIST = "fontlist-*.json"
_LARGEST = 2_000_000


def font_lists(codes: Iterable[str], environment: Mapping[str, str]) -> dict[str, bytes]:
    """Return this machine's lists of fonts for code that seems to plot; empty where there are none.

    Parameters
    ----------
    codes
        Python source.
    environment
        Environment variables, which say where Matplotlib keeps its cache.
    """
    if not any(_PLOTS.search(code) for code in codes):
        return {}
    try:
        return {
            path.name: path.read_bytes()
            for path in sorted(_cache(environment).glob(_LIST))
            if path.stat().st_size <= _LARGEST
        }
    except (OSError, RuntimeError):
        return {}


def _cache(environment: Mapping[str, str]) -> Path:
    own = environment.get("MPLCONFIGDIR")
    if own:
        return Path(own)
    home = environment.get("XDG_CACHE_HOME")
    return Path(home) / "matplotlib" if home else Path(os.path.expanduser("~/.cache/matplotlib"))  # noqa: PTH111
