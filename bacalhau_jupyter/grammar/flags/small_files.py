"""Small text files that a command line names: tokens and authorities, read by the caller and not by the node."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.text import readable

SIZE_LIMIT = 1 << 20
"""Most bytes of such a file."""


def content_of(name: str, flag: str, what: str) -> str:
    """Return what a file holds.

    Parameters
    ----------
    flag, what
        Which flag names the file, and what it should hold, for sentences.

    Raises
    ------
    BadRequest
        The file can't be read, is not text, is empty, or is too large.
    """
    try:
        with Path(name).expanduser().open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
        text = data.decode()
    except (OSError, UnicodeDecodeError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise BadRequest(f"{flag}: {readable(name)} can't be read: {reason}") from error
    if not text.strip() or len(data) > SIZE_LIMIT:
        raise BadRequest(f"{flag}: {readable(name)} holds no {what}")
    return text
