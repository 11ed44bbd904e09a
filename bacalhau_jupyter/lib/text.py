r"""Text files as they are: UTF-8 whatever the locale says, and no line ending changed.

`Path.read_text` turns ``\r\n`` into ``\n``, and both it and `Path.write_text` go by the locale unless told
otherwise; a test of the house refuses them.
"""

from __future__ import annotations

from pathlib import Path


def read_text(path: Path, errors: str = "strict") -> str:
    """Return what a UTF-8 file holds.

    Raises
    ------
    OSError
        It can't be read.
    UnicodeDecodeError
        It is not UTF-8 (a `ValueError`), and ``errors`` does not say what to do about it.
    """
    return path.read_bytes().decode("utf-8", errors)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8.

    Raises
    ------
    OSError
        It can't be written.
    """
    path.write_bytes(text.encode("utf-8"))
