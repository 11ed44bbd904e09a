"""Docker's own configuration (``config.json``), read as leniently as ``docker`` reads it.

What can't be understood is left out with a warning: a person's pull of a public image must not fail because of an entry
for another registry, nor a node lose its engine. The SDK raises instead, so it is kept from reading the file.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

_LARGEST = 4 << 20
"""Bytes of the file that are read at most."""
_sdk_lock = threading.Lock()


class Configuration:
    """What ``config.json`` says; read anew at each question, since a person may log in at any time.

    Parameters
    ----------
    env
        Names the file's directory by ``DOCKER_CONFIG``.
    home
        The person's home directory, which holds ``.docker``; None finds it out.
    """

    def __init__(self, env: Mapping[str, str], home: Path | None = None) -> None:
        self.directory = Path(env.get("DOCKER_CONFIG") or (home or _home()) / ".docker")
        self.path = self.directory / "config.json"
        self._warned: set[str] = set()

    def warn(self, problem: str) -> None:
        """Tell people once what was left out; ``problem`` never holds a secret."""
        if problem not in self._warned:
            self._warned.add(problem)
            _log.warning("%s: %s", self.path, problem)

    def read(self) -> dict[str, Any]:
        """Return the whole of it; empty where there is none, or none that can be understood."""
        try:
            with self.path.open("rb") as file:
                content = json.loads(file.read(_LARGEST))
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.warn(f"it can't be read ({error.strerror}); Docker's configuration is ignored")
            return {}
        except (ValueError, RecursionError):
            # The parser's words may quote a secret.
            self.warn("it is not valid JSON; Docker's configuration is ignored")
            return {}
        if not isinstance(content, dict):
            self.warn("it is not a JSON object; Docker's configuration is ignored")
            return {}
        return content

    def section(self, name: str) -> dict[str, Any]:
        """Return a member that has to be an object; empty where it is missing, or something else."""
        value = self.read().get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.warn(f'"{name}" is not an object and is ignored')
        return {}

    def text(self, name: str) -> str:
        """Return a member that has to be a text; empty where it is missing, or something else."""
        value = self.read().get(name)
        if isinstance(value, str):
            return value
        if value is not None:
            self.warn(f'"{name}" is not text and is ignored')
        return ""

    @property
    def http_headers(self) -> dict[str, str]:
        """Headers that a person wants to be sent to the Docker Engine."""
        all_headers = self.section("HttpHeaders")
        headers = {
            name: value
            for name, value in all_headers.items()
            if isinstance(value, str) and _is_header(name, value)
        }
        if len(headers) != len(all_headers):
            self.warn('"HttpHeaders" has members that are not headers; they are ignored')
        return headers


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        # A user without a name, as in many containers: no directory has these files.
        return Path("/nonexistent")


def _is_header(name: str, value: str) -> bool:
    return (
        bool(name) and name.isascii() and value.isascii() and (name + value).isprintable() and ":" not in name
    )


@contextlib.contextmanager
def sdk_without_configuration(headers: Mapping[str, str]) -> Iterator[None]:
    """While a client of the SDK is being made, keep it from reading ``config.json``.

    It offers no argument for that, and raises for one malformed entry.
    """
    from docker.utils import config

    with _sdk_lock:
        reads = config.load_general_config
        # Never empty: the SDK would look for a file after all.
        config.load_general_config = lambda *_: {"HttpHeaders": dict(headers)}
        try:
            yield
        finally:
            config.load_general_config = reads
