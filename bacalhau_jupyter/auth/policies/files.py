"""Reads policies from disk; what can't be read ends the start of a node with the official sentence."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from bacalhau_jupyter.config.files import expanded
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import ConfigurationError

_MOST_BYTES = 4 << 20
"""Of one policy. Written by hand, they have a few thousand."""
_TEXTS = {errno.ENOENT: "no such file or directory", errno.EACCES: "permission denied"}
_HINT = (
    "API.Auth.AccessPolicyPath and PolicyPath of API.Auth.Methods name a .rego file, or a folder with some."
)


@dataclass(frozen=True)
class Policy:
    """The text of one policy.

    Attributes
    ----------
    path
        Where it lies, as the configuration says.
    modules
        File name → text.
    """

    path: str
    modules: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(text for _, text in self.modules)


def read_policy(path: str) -> Policy:
    """Read a file, or every ``.rego`` file below a folder.

    Raises
    ------
    ConfigurationError
        It can't be read, is too large, or holds no policy.
    """
    if not path:
        raise _unreadable(path, "invalid argument")
    place = expanded(path)
    try:
        files = sorted(place.rglob("*.rego")) if place.is_dir() else [place]
        size = sum(file.stat().st_size for file in files)
        if size > _MOST_BYTES:
            raise ConfigurationError(f"policy {path} is too large: {size} bytes of {_MOST_BYTES}", hint=_HINT)
        modules = tuple((str(file), read_text(file)) for file in files if file.is_file())
    except OSError as error:
        text = _TEXTS.get(error.errno or 0) or os.strerror(error.errno or 0).lower()
        raise _unreadable(path, text) from error
    except UnicodeError as error:
        raise ConfigurationError(f"policy {path} is not UTF-8 text", hint=_HINT) from error
    if not modules:
        raise ConfigurationError(f"policy {path} holds no .rego file", hint=_HINT)
    return Policy(path, modules)


def _unreadable(path: str, text: str) -> ConfigurationError:
    # The official loader knows paths without their root.
    return ConfigurationError(
        f"1 error occurred during loading: stat {path.lstrip('/.')}: {text}", hint=_HINT
    )
