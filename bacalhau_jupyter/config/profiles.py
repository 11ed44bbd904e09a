"""Saved connections, in the official CLI's own files: ``profiles/NAME.yaml`` and the link ``current``."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bacalhau_jupyter.config.files import io_explained, write_atomic
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError, NotFound
from bacalhau_jupyter.models.jobs.goduration import parse_go_duration
from bacalhau_jupyter.models.text import is_readable, readable
from bacalhau_jupyter.models.yamltext import read_yaml

COMPONENT = "Profiles"

DEFAULT_TIMEOUT = "30s"
NAME_LIMIT = 150
"""Bytes of a name: most file systems take 255, and drafts need some more than the file itself."""
_CURRENT = "current"
_SEPARATORS = frozenset("/\\")


@dataclass(frozen=True)
class Profile:
    """One saved connection.

    Attributes
    ----------
    endpoint
        ``host:port`` or a URL.
    timeout
        Request time-out as a Go duration; empty means `DEFAULT_TIMEOUT`.
    insecure
        Whether the server's certificate is not checked.
    ca_file
        The authority that signed the server's certificate.
    user, password
        Name and password that a request carries if the profile has no token.

    Official programs tolerate ``ca_file``, ``user`` and ``password``, and drop them when they save.
    """

    endpoint: str
    token: str = field(default="", repr=False)
    description: str = ""
    timeout: str = ""
    insecure: bool = False
    ca_file: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def timeout_s(self) -> float:
        """Request time-out in seconds."""
        return parse_go_duration(self.timeout or DEFAULT_TIMEOUT)


class ProfileStore:
    """The profiles of a directory.

    Parameters
    ----------
    directory
        ``profiles`` of the repo directory; created with the first profile.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def names(self) -> list[str]:
        """Return the names of all profiles, sorted."""
        return sorted(path.stem for path in self._directory.glob("*.yaml") if path.is_file())

    def load(self, name: str) -> Profile:
        """Return a profile.

        Raises
        ------
        NotFound
            There is no profile of that name.
        ConfigurationError
            Its file is damaged.
        """
        path = self._path(name)
        try:
            plain = read_yaml(read_text(path))
        except FileNotFoundError as error:
            raise _unknown(name, self.names()) from error
        except OSError as error:
            raise ConfigurationError(f"{path} can't be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeError) as error:
            raise ConfigurationError(f"{path} is not a profile: it is not YAML") from error
        return _profile(plain, path)

    def save(self, name: str, profile: Profile) -> None:
        """Write a profile (0600), replacing one of the same name.

        Raises
        ------
        BadRequest
            The name, endpoint or time-out is unusable.
        """
        path = self._path(name)
        if not profile.endpoint.strip():
            raise BadRequest("a profile needs an endpoint")
        try:
            parse_go_duration(profile.timeout or DEFAULT_TIMEOUT)
        except ValueError as error:
            raise BadRequest(f'invalid timeout "{profile.timeout}"') from error
        tree: dict[str, Any] = {"endpoint": profile.endpoint.strip()}
        if profile.description:
            tree["description"] = profile.description
        if profile.timeout:
            tree["timeout"] = profile.timeout
        auth = {"token": profile.token, "user": profile.user, "password": profile.password}
        if any(auth.values()):
            tree["auth"] = {name: value for name, value in auth.items() if value}
        tls = {"insecure": profile.insecure, "ca": profile.ca_file}
        if any(tls.values()):
            tree["tls"] = {name: value for name, value in tls.items() if value}
        with io_explained("can't create", self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))

    def delete(self, name: str) -> None:
        """Remove a profile; if it was the current one, none is current any more.

        Raises
        ------
        NotFound
            There is no profile of that name.
        """
        path = self._path(name)
        if self.current() == name:
            (self._directory / _CURRENT).unlink(missing_ok=True)
        with io_explained("can't delete", path):
            try:
                path.unlink()
            except FileNotFoundError as error:
                raise _unknown(name, self.names()) from error

    def select(self, name: str) -> None:
        """Make a profile the current one."""
        self.load(name)
        link = self._directory / _CURRENT
        draft = self._directory / f".{_CURRENT}.{uuid.uuid4().hex}"
        with io_explained("can't select", link):
            draft.symlink_to(f"{name}.yaml")
            draft.replace(link)

    def deselect(self) -> None:
        """Make no profile the current one."""
        with io_explained("can't deselect", self._directory):
            (self._directory / _CURRENT).unlink(missing_ok=True)

    def current(self) -> str | None:
        """Return the name of the current profile; None without one, or when its file is gone."""
        try:
            name = (self._directory / _CURRENT).readlink().name.removesuffix(".yaml")
        except OSError:
            return None
        return name if name in self.names() else None

    def mark(self, name: str | None = None) -> str:
        """Return a text that changes when another profile becomes the current one, or this one is saved again.

        Parameters
        ----------
        name
            The profile to look at; the current one by default.
        """
        name = self.current() if name is None else name
        if name is None:
            return ""
        try:
            status = self._path(name).stat()
        except (OSError, BadRequest):
            return name
        return f"{name} {status.st_ino} {status.st_mtime_ns}"

    def _path(self, name: str) -> Path:
        if why := _unusable(name):
            raise BadRequest(f"{readable(name[:60])!r} is not a name for a profile: {why}")
        return self._directory / f"{name}.yaml"


def _unusable(name: str) -> str:
    """Return why a name can't be a file's; empty where it can. Clients choose names, so none may mean a place."""
    if not name.strip():
        return "it is empty"
    if not is_readable(name):
        return "it holds control or direction marks"
    if name.startswith(".") or _SEPARATORS.intersection(name):
        return "it begins with a dot, or holds a separator"
    if len(name.encode()) > NAME_LIMIT:
        return f"it is longer than {NAME_LIMIT} bytes"
    return ""


def _unknown(name: str, saved: list[str]) -> NotFound:
    hint = f"Known profiles: {', '.join(saved)}." if saved else "No profile is saved yet."
    return NotFound(f'profile "{name}" not found', hint=hint)


def _profile(plain: object, path: Path) -> Profile:
    tree = _mapping(plain, path)
    auth = _mapping(tree.get("auth"), path)
    tls = _mapping(tree.get("tls"), path)
    profile = Profile(
        endpoint=str(tree.get("endpoint") or "").strip(),
        token=str(auth.get("token") or ""),
        description=str(tree.get("description") or ""),
        timeout=str(tree.get("timeout") or ""),
        insecure=tls.get("insecure") is True,
        ca_file=str(tls.get("ca") or ""),
        user=str(auth.get("user") or ""),
        password=str(auth.get("password") or ""),
    )
    if not profile.endpoint:
        raise ConfigurationError(f"{path} has no endpoint")
    try:
        _ = profile.timeout_s
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return profile


def _mapping(plain: object, path: Path) -> Mapping[str, Any]:
    if plain is None:
        return {}
    if not isinstance(plain, Mapping):
        raise ConfigurationError(f"{path} is not a profile")
    return plain
