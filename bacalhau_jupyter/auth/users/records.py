"""Users as a configuration describes them, with the official rules and some that officially lack."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bacalhau_jupyter.auth.capabilities import CAPABILITIES
from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.auth.users.hashes import LARGEST_COST, cost_of, is_like_hash
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import ConfigurationError

SECTION = "API.Auth.Users"
_MEMBERS = ("Alias", "Username", "Password", "APIKey", "Capabilities")
_TEXTS = _MEMBERS[:-1]
_LONGEST_USERNAME = 100
_PASSWORD_LENGTHS = (10, 255)
_KEY_LENGTHS = (20, 255)
_SHOWN_OF_KEY = 5
"""Last letters of a key by which people are told which one it is."""


@dataclass(frozen=True)
class User:
    """One user: with a name and a password, or with a key."""

    alias: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    actions: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """What messages call the user: officially the alias, else the user name, else the end of the key."""
        if self.alias or self.username:
            return self.alias or self.username
        return f"API key ending in ...{self.api_key[-_SHOWN_OF_KEY:]}" if self.api_key else "unknown user"


def read_users(records: Sequence[Mapping[str, Any]]) -> list[User]:
    """Return the users of ``API.Auth.Users``.

    Raises
    ------
    ConfigurationError
        One breaks a rule; the sentence is the official one where there is one.
    """
    users: list[User] = []
    for number, record in enumerate(records):
        user = _read(number, record)
        _check_credential(user)
        capabilities = folded(record).get("capabilities")
        if not capabilities:
            raise _wrong(
                f"user '{user.title}' has no capabilities defined, must have at least one capability"
            )
        _check_duplicates(user, users)
        _check_further(user, capabilities)
        users.append(user)
    names = {user.username.lower(): user for user in users if user.username}
    for user in users:
        namesake = names.get(user.alias.lower(), user)
        if namesake is not user:
            raise _wrong(f"the alias '{user.alias}' of a user is the username of another user")
    return users


def principals_of(users: Sequence[User]) -> list[Principal]:
    """Return in whose name each user acts; all names differ, and none is the owner's."""
    names: set[str] = set()
    principals = []
    for user in users:
        base = (
            f"user:{user.username.lower()}" if user.password else f"key:{(user.alias or user.title).lower()}"
        )
        name, count = base, 1
        while name in names:
            count += 1
            name = f"{base}~{count}"
        names.add(name)
        principals.append(Principal(name, user.actions, user.title))
    return principals


def _read(number: int, record: Mapping[str, Any]) -> User:
    members = folded(record)
    place = f"{SECTION}[{number}]"
    unknown = sorted(set(members) - {name.lower() for name in _MEMBERS})
    if unknown:
        raise _wrong(
            f"{place} has unknown members: {', '.join(unknown)}", f"a user has {', '.join(_MEMBERS)}"
        )
    texts = {name: members.get(name.lower()) for name in _TEXTS}
    for name, value in texts.items():
        if value is not None and not isinstance(value, str):
            # YAML reads digits as a number, and may drop some of them.
            raise _wrong(f"{place}.{name} is not text", f'write it in quotes, as in {name}: "0123456789"')
    for name in ("Alias", "Username"):
        # Messages and logs show them.
        if not (texts[name] or "").isprintable():
            raise _wrong(f"{place}.{name} has characters that can't be shown")
    return User(
        alias=(texts["Alias"] or "").strip(),
        username=texts["Username"] or "",
        password=texts["Password"] or "",
        api_key=texts["APIKey"] or "",
        actions=_actions(place, members.get("capabilities")),
    )


def _actions(place: str, capabilities: object) -> frozenset[str]:
    if capabilities is None:
        return frozenset()
    if not isinstance(capabilities, list):
        raise _wrong(f"{place}.Capabilities must be a list of mappings with Actions")
    actions: list[str] = []
    for number, capability in enumerate(capabilities):
        where = f"{place}.Capabilities[{number}]"
        if not isinstance(capability, Mapping):
            kind = "string" if isinstance(capability, str) else type(capability).__name__
            raise _wrong(f"'{where}' expected a map or struct, got \"{kind}\"", _CAPABILITIES_HINT)
        named = folded(capability)
        texts = named.pop("actions", None) or []
        if named or not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise _wrong(
                f"'{where}' must have Actions, a list of texts, and nothing else", _CAPABILITIES_HINT
            )
        actions += texts
    return frozenset(actions)


def _check_credential(user: User) -> None:
    """Check in the official order, with the official sentences."""
    called = user.title
    has_password = bool(user.username and user.password)
    if has_password and user.api_key:
        raise _wrong(
            f"user '{called}' has both username/password and API key, must have only one authentication method"
        )
    if not has_password and not user.api_key:
        raise _wrong(
            f"user '{called}' has neither username/password nor API key, must have one authentication method"
        )
    if user.username:
        if len(user.username.strip().encode()) > _LONGEST_USERNAME:
            raise _wrong(
                f"username for user '{called}' exceeds maximum length of {_LONGEST_USERNAME} characters"
            )
        if not user.username.strip():
            raise _wrong(f"username for user '{called}' should not be empty")
        if not re.fullmatch("[a-zA-Z0-9]+", user.username):
            raise _wrong(
                f"username for user '{called}' must contain only alphanumeric characters (a-z, A-Z, 0-9)"
            )
    _check_length(user.password, f"password for user '{called}'", _PASSWORD_LENGTHS)
    _check_length(user.api_key, f"API key for user '{called}'", _KEY_LENGTHS)


def _check_length(secret: str, what: str, lengths: tuple[int, int]) -> None:
    least, most = lengths
    length = len(secret.encode("utf-8", "surrogateescape"))
    if secret and length < least:
        raise _wrong(f"{what} is too short, minimum length is {least} characters")
    if length > most:
        raise _wrong(f"{what} exceeds maximum length of {most} characters")


def _check_duplicates(user: User, earlier: Sequence[User]) -> None:
    for other in earlier:
        if user.alias and user.alias.lower() == other.alias.lower():
            raise _wrong(
                f"duplicate alias detected: '{other.alias}' and '{user.alias}' (aliases are case-insensitive)"
            )
        if user.username and user.username.lower() == other.username.lower():
            raise _wrong(
                f"duplicate username detected: '{other.username}' and '{user.username}' "
                "(usernames are case-insensitive)"
            )
        if user.api_key and user.api_key == other.api_key:
            raise _wrong(f"duplicate API key detected for user '{user.title}'")


def _check_further(user: User, capabilities: Sequence[Mapping[str, Any]]) -> None:
    """Refuse what officially starts, and then does something else than it says."""
    called = user.title
    if user.api_key and (user.username or user.password):
        raise _wrong(
            f"user '{called}' has an API key and half of a username/password, must have only one authentication "
            "method",
            "an Alias names a user with a key",
        )
    if any(not folded(capability).get("actions") for capability in capabilities):
        raise _wrong(f"user '{called}' has a capability without Actions", _CAPABILITIES_HINT)
    unknown = sorted(user.actions - CAPABILITIES)
    if unknown:
        raise _wrong(f"user '{called}' has the unknown action '{unknown[0]}'", _CAPABILITIES_HINT)
    if is_like_hash(user.password):
        cost = cost_of(user.password)
        if not cost:
            raise _wrong(
                f"password for user '{called}' begins like a bcrypt hash, but is not one",
                "`bacalhau-jupyter auth hash-password` makes one; quote it, because shells read the $",
            )
        if cost > LARGEST_COST:
            raise _wrong(
                f"password for user '{called}' has a bcrypt hash of cost {cost}; "
                f"more than {LARGEST_COST} would hold up every log-in"
            )


_CAPABILITIES_HINT = (
    f'as in Capabilities: [{{Actions: ["read:job"]}}]; actions: {", ".join(sorted(CAPABILITIES))}'
)


def _wrong(sentence: str, hint: str = "") -> ConfigurationError:
    return ConfigurationError(f"error initializing users: {sentence}", hint=hint, component="Config")
