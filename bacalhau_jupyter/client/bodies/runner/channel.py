r"""The way of a display to the notebook: frames in the job's stdout that only this process can write.

A frame is an application program command (``ESC _ … ESC \``), which terminals don't show. Each one carries a random
nonce. The first bytes of stdout, written before any line of the body runs, announce it; so no text that was prepared
before, and nothing that reads the spec, the environment or the files of the job, can make a frame. A frame fits into
one atomic write to a pipe: threads and forked processes never mix theirs. Behind the last one of a display stands its
plain text, for the readers of the log.

The reader is ``notebook/displays/frames.py``.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

START, END = "\x1b_bacalhau;", "\x1b\\"
_ATOMIC = 4096
"""Bytes that a pipe takes at once (Linux's PIPE_BUF)."""
_CHUNK = 3600
_PLAIN = 1500

_descriptor = -1
_nonce = ""
_count: Any = None


def open_channel() -> None:
    """Draw the nonce and announce it; must come before anything that the body does."""
    global _descriptor, _nonce
    try:
        # A descriptor of its own: the body may close stdout or point it elsewhere. Programs do not inherit it.
        # WebAssembly has no second one, and no programs.
        _descriptor = 1 if sys.platform == "wasi" else os.dup(1)
        _nonce = os.urandom(16).hex()
        _write(f"{START}hello;{_nonce}{END}".encode())
    except OSError:
        _descriptor = -1


def is_open() -> bool:
    """Whether this process can show something; one that was started by the body can't."""
    return _descriptor >= 0


def send(payload: bytes, plain: str) -> None:
    """Write a display.

    Parameters
    ----------
    payload
        Its JSON.
    plain
        What readers of the log see.
    """
    global _count
    import binascii

    if _count is None:
        import itertools

        _count = itertools.count()
    number = f"{os.getpid()}.{next(_count)}"
    data = binascii.b2a_base64(payload, newline=False)
    pieces = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    # The text has to fit behind the last piece.
    shown = plain[: _PLAIN // 4] if not plain.isascii() else plain[:_PLAIN]
    shown = (shown if len(shown) == len(plain) else shown + " …").rstrip("\n") + "\n"
    text = shown.encode("utf-8", "replace")
    if len(pieces[-1]) + len(text) + 200 > _ATOMIC:
        pieces.append(b"")
    for piece in pieces[:-1]:
        _write(f"{START}{_nonce};{number};+;".encode() + piece + END.encode())
    _write(f"{START}{_nonce};{number};{len(shown)};".encode() + pieces[-1] + END.encode() + text)


def _write(data: bytes) -> None:
    while data:
        try:
            data = data[os.write(_descriptor, data) :]
        except BlockingIOError:
            import select

            select.select([], [_descriptor], [])
        except BrokenPipeError:
            return
