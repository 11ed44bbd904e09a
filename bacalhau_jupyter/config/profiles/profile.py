"""One saved connection, and the text of its file; members that others put there stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError
from bacalhau_jupyter.models.jobs.goduration import parse_go_duration
from bacalhau_jupyter.models.yamltext import compose_yaml, read_words, serialize_yaml

DEFAULT_TIMEOUT = "30s"
_ENDPOINT, _AUTH, _TLS = "endpoint", "auth", "tls"
_TRUE = ("yes", "on", "y")
"""Words that are true for an official program where it expects a truth, and text elsewhere."""


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


def profile_of(text: str, path: Path) -> Profile:
    """Read a profile.

    Parameters
    ----------
    text
        What its file holds.
    path
        The file, for messages.

    Raises
    ------
    ConfigurationError
        The text is damaged.
    """
    try:
        plain = read_words(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not a profile: it is not YAML") from error
    tree = _mapping(plain, path)
    auth, tls = _mapping(tree.get(_AUTH), path), _mapping(tree.get(_TLS), path)
    insecure = tls.get("insecure")
    profile = Profile(
        endpoint=_word(tree, _ENDPOINT, path).strip(),
        token=_word(auth, "token", path),
        description=_word(tree, "description", path),
        timeout=_word(tree, "timeout", path),
        insecure=insecure is True or str(insecure).lower() in _TRUE,
        ca_file=_word(tls, "ca", path),
        user=_word(auth, "user", path),
        password=_word(auth, "password", path),
    )
    if not profile.endpoint:
        raise ConfigurationError(f"{path} has no endpoint")
    try:
        _ = profile.timeout_s
    except ValueError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return profile


def text_of(profile: Profile, before: str = "") -> str:
    """Write a profile.

    Parameters
    ----------
    before
        The text that it replaces: what we don't know of it stays, but no credential goes along to another address.

    Raises
    ------
    BadRequest
        The endpoint or the time-out is unusable.
    """
    if not profile.endpoint.strip():
        raise BadRequest("a profile needs an endpoint")
    try:
        parse_go_duration(profile.timeout or DEFAULT_TIMEOUT)
    except ValueError as error:
        raise BadRequest(f'invalid timeout "{profile.timeout}"') from error
    members: dict[str, Any] = {
        _ENDPOINT: profile.endpoint.strip(),
        "description": profile.description,
        "timeout": profile.timeout,
        _AUTH: {"token": profile.token, "user": profile.user, "password": profile.password},
        _TLS: {"insecure": profile.insecure, "ca": profile.ca_file},
    }
    own = _node({name: _without_empty(value) for name, value in members.items()})
    others = _composed(before)
    is_moved = _scalar(others, _ENDPOINT) != members[_ENDPOINT]
    for name, value in members.items():
        if isinstance(value, dict) and not (name == _AUTH and is_moved):
            _take_over(_member(own, name), _member(others, name), value)
    _take_over(own, others, members)
    own.value = [(name, value) for name, value in own.value if value.value]
    return serialize_yaml(own)


def _without_empty(value: Any) -> Any:
    return {name: item for name, item in value.items() if item} if isinstance(value, dict) else value


# ---- nodes of YAML: what is not ours keeps its spelling


def _node(tree: Mapping[str, Any]) -> yaml.MappingNode:
    node = compose_yaml(
        yaml.safe_dump(dict(tree), sort_keys=False, allow_unicode=True, default_flow_style=False)
    )
    assert isinstance(node, yaml.MappingNode)
    return node


def _composed(text: str) -> yaml.Node | None:
    try:
        return compose_yaml(text)
    except yaml.YAMLError:
        return None


def _member(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def _scalar(node: yaml.Node | None, name: str) -> str:
    member = _member(node, name)
    return str(member.value).strip() if isinstance(member, yaml.ScalarNode) else ""


def _take_over(own: yaml.Node | None, others: yaml.Node | None, own_names: Mapping[str, Any]) -> None:
    """Add the members that we don't know."""
    if isinstance(own, yaml.MappingNode) and isinstance(others, yaml.MappingNode):
        unknown = [(key, value) for key, value in others.value if key.value not in own_names]
        own.value += unknown
        own.flow_style = False


# ---- plain values


def _word(tree: Mapping[str, Any], name: str, path: Path) -> str:
    value = tree.get(name)
    if isinstance(value, (Mapping, list)):
        raise ConfigurationError(f"{path} is not a profile: {name} is no text")
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _mapping(plain: object, path: Path) -> Mapping[str, Any]:
    if plain is None:
        return {}
    if not isinstance(plain, Mapping):
        raise ConfigurationError(f"{path} is not a profile")
    return plain
