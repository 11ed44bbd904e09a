"""Where a node's own log lines go."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
from pathlib import Path

from bacalhau_jupyter.lib.masking import mask_secrets
from bacalhau_jupyter.lib.times import rfc3339

FILE_LIMIT = 5_000_000
"""Bytes of a log file before it is put aside."""

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}


class JsonFormatter(logging.Formatter):
    """One JSON object per line (``Logging.Mode=json``)."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        line = {
            "level": record.levelname.lower(),
            "time": rfc3339(int(record.created * 1e9)),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return mask_secrets(json.dumps(line))


class PlainFormatter(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record, and the traceback that belongs to it, without the secrets of URLs."""
        return mask_secrets(super().format(record))


def set_up(level: str, mode: str, file: Path | None = None) -> None:
    """Log to ``file`` (rotating, 0600), else to standard error.

    Parameters
    ----------
    level, mode
        ``Logging.Level`` and ``Logging.Mode``.
    """
    handler: logging.Handler
    if file is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        file.touch(mode=0o600, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(file, maxBytes=FILE_LIMIT, backupCount=1)
    plain = PlainFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if mode == "json" else plain)
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(_LEVELS.get(level, logging.INFO))
    # Libraries are of interest only when something is wrong.
    for noisy in ("asyncio", "docker", "urllib3", "aiohttp"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
