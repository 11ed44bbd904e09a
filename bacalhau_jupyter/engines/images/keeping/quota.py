"""How much images may take: what the configuration says, or what is left to it."""

from __future__ import annotations

import shutil
from pathlib import Path

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.jobs.units import parse_bytes

KEY = "Engines.Docker.ImageQuota"
USUAL, USUAL_SHARE = 20_000_000_000, 20
"""Bytes, and percent of the disk; the smaller one holds where nothing is configured."""
UNLIMITED = 1 << 62


def quota_of(configured: object, disk: Path) -> int:
    """Return the bytes that images may take. Blocks.

    Parameters
    ----------
    configured
        A size, or a share of the disk (``20%``); empty: a fifth of the disk, 20 GB at most; 0: no limit.
    disk
        A path on the disk; it need not exist.

    Raises
    ------
    ConfigurationError
        It is neither.
    """
    text = str(configured or "").strip()
    if not text:
        return min(USUAL, _share(USUAL_SHARE, disk))
    try:
        if text.endswith("%"):
            percent = float(text[:-1])
            if not 0 < percent <= 100:
                raise ValueError
            return _share(percent, disk)
        return parse_bytes(text) or UNLIMITED
    except ValueError:
        raise ConfigurationError(
            f"{KEY} is {text[:40]!r}, which is neither a size nor a share of the disk",
            hint="write 20GB, 20%, or 0 for no limit",
            component="Config",
        ) from None


def _share(percent: float, disk: Path) -> int:
    for place in (disk, *disk.parents):
        try:
            return int(shutil.disk_usage(place).total * percent / 100)
        except FileNotFoundError:
            continue
    return USUAL
