"""Where a node's own log lines go."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
from pathlib import Path

from bacalhau_jupyter.lib.masking import mask_secrets
from bacalhau_jupyter.lib.telemetry.subject import fields
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.text import readable

FILE_LIMIT = 5_000_000
"""Bytes of a log file before it is put aside."""
LINE_LIMIT = 8000
"""Characters of a message in the log; some of them come from nodes, servers and jobs."""

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
            "message": _cut(record.getMessage()),
        }
        line |= fields()
        if (entry := getattr(record, "audit", None)) is not None:
            line["audit"] = entry
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return mask_secrets(json.dumps(line))


class PlainFormatter(logging.Formatter):
    """Lines for people.

    What others wrote stays text: it neither acts on a terminal nor begins a line that looks like one of ours.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record, and the traceback that belongs to it, without the secrets of URLs."""
        return readable(mask_secrets(super().format(record)), lines=True).replace("\n", "\n  ")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line itself, with what it is about at its end."""
        record.message = _cut(record.message)
        return " ".join(
            [super().formatMessage(record), *(f"{name}={value}" for name, value in fields().items())]
        )


def _cut(text: str) -> str:
    return text if len(text) <= LINE_LIMIT else f"{text[: LINE_LIMIT - 1]}…"


def set_up(level: str, mode: str, file: Path | None = None) -> None:
    """Log to ``file`` (rotating, 0600), else text to standard error and JSON to standard output.

    Parameters
    ----------
    level, mode
        ``Logging.Level`` and ``Logging.Mode``.
    """
    handlers: list[logging.Handler]
    if file is None:
        streams = {"json": [sys.stdout], "combined": [sys.stdout, sys.stderr]}.get(mode, [sys.stderr])
        handlers = [logging.StreamHandler(stream) for stream in streams]
    else:
        file.touch(mode=0o600, exist_ok=True)
        handlers = [logging.handlers.RotatingFileHandler(file, maxBytes=FILE_LIMIT, backupCount=1)]
    text = "%(message)s" if mode == "cmd" else "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    # A file has one form only.
    is_json = mode == "json" or (mode == "combined" and file is None)
    handlers[0].setFormatter(JsonFormatter() if is_json else PlainFormatter(text))
    for further in handlers[1:]:
        further.setFormatter(PlainFormatter(text))
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(_LEVELS.get(level, logging.INFO))
    # Libraries are of interest only when something is wrong.
    for noisy in ("asyncio", "docker", "urllib3", "aiohttp"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
