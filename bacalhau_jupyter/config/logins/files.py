"""Tokens of logins in the official CLI's own files, which map a URL to a token."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from bacalhau_jupyter.config.files import io_explained, locked, write_atomic
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import ConfigurationError

SIGN_ON_FILE = "jwt-tokens.json"
"""Tokens of single sign-on."""
METHODS_FILE = "tokens.json"
"""Tokens of a node's own login methods."""


class TokenFile:
    """One of the files; it is created with the first token (0600).

    Parameters
    ----------
    path
        The file. Where it is damaged or can't be read, it holds no token for readers.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def token(self, url: str) -> str:
        """Return the token for a URL; empty when there is none."""
        try:
            token = self._read().get(url, "")
        except ConfigurationError:
            return ""
        # What can't stand in a header is no token.
        return token if token.isascii() and token.isprintable() and " " not in token else ""

    def keep(self, url: str, token: str) -> None:
        """Keep a token for a URL, in place of the one before.

        Raises
        ------
        ConfigurationError
            The file holds something else, which is not overwritten.
        """
        with self._changing():
            self._write({**self._read(), url: token})

    def forget(self, url: str) -> bool:
        """Remove the token of a URL; False when there is none. Raises as `keep` does."""
        if url not in self._read():
            return False
        with self._changing():
            tokens = self._read()
            tokens.pop(url, None)
            self._write(tokens)
        return True

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with io_explained("can't write", self._path), locked(self._path):
            yield

    def _read(self) -> dict[str, str]:
        try:
            text = read_text(self._path)
            plain = json.loads(text) if text.strip() else {}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise self._damaged() from error
        if not isinstance(plain, dict) or not all(isinstance(token, str) for token in plain.values()):
            raise self._damaged()
        return plain

    def _write(self, tokens: dict[str, str]) -> None:
        write_atomic(self._path, json.dumps(tokens) + "\n")

    def _damaged(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._path} holds no tokens of logins", hint="Remove it, and log in again.", component="Repo"
        )
