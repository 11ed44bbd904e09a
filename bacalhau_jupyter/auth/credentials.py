"""What the ``Authorization`` header of a request says, before anybody checks it."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Protocol

from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.models.errors import Unauthorized

NO_CREDENTIAL = "Missing Authorization header"
INVALID_KEY = "invalid API key"


@dataclass(frozen=True)
class Bearer:
    """An API key or a token."""

    token: str = field(repr=False)


@dataclass(frozen=True)
class Basic:
    """A user name and a password."""

    username: str
    password: str = field(repr=False)


Credential = Bearer | Basic


class Authenticator(Protocol):
    """Knows one kind of credential."""

    async def authenticate(self, credential: Credential) -> Principal | None:
        """Return whose credential this is; None where it is not one that this authenticator decides about.

        Raises
        ------
        Unauthorized
            It is of this authenticator's kind, and not valid (`refusal` makes the error).
        """
        ...


def parse(header: str) -> Credential:
    """Parse an ``Authorization`` header; the scheme's case does not matter, all else does.

    Raises
    ------
    Unauthorized
        It is no Bearer or Basic credential.
    """
    scheme, _, text = header.partition(" ")
    match scheme.lower():
        case "bearer" if text:
            return Bearer(text)
        case "basic" if text:
            return _basic(text)
        case _:
            raise refusal("unsupported authentication method")


class Unguessable(Unauthorized):
    """A credential of a kind that nobody can guess, such as a signed token: mostly it has expired.

    It is not counted as a try, or a page that goes on asking would lock its user out after the next login.
    """


def refusal(reason: str, kind: type[Unauthorized] = Unauthorized) -> Unauthorized:
    """Return the official error for a missing or invalid credential."""
    return kind(
        "Request Unauthorized",
        hint="Set BACALHAU_API_KEY, or BACALHAU_API_USERNAME and BACALHAU_API_PASSWORD; the node's own user on its "
        "machine needs neither.",
        details={"reason": reason},
        component="Authorizer",
    )


def _basic(text: str) -> Basic:
    try:
        decoded = base64.b64decode(text, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        raise refusal("failed to decode basic auth credentials") from None
    username, separator, password = decoded.partition(":")
    if not separator:
        raise refusal("invalid basic auth credentials format")
    return Basic(username, password)
