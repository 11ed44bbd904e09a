"""Tells whose token a request carries: a JWT that the identity provider signed."""

from __future__ import annotations

import base64
import json
import logging
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.auth.credentials import Bearer, Credential, Unguessable, refusal
from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.auth.sso.keys import ALGORITHM, KeySet
from bacalhau_jupyter.auth.sso.settings import COMPONENT, SignOn
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.text import is_readable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

log = logging.getLogger(__name__)

INVALID = "invalid JWT token"
NOT_CONFIGURED = "OAuth2 authentication not configured on server"
LEEWAY_S = 30
"""How far the clocks of provider and node may differ; an official node allows nothing."""
NAME_PREFIX = "sso:"
"""Before the subject in a principal's name, so that no subject is called like a user of the configuration."""
CLAIM = "permissions"


class TokenAuthenticator:
    """Accepts tokens of one provider, for one audience.

    Parameters
    ----------
    sign_on
        Which provider, and which audience.
    keys
        The provider's keys.
    """

    def __init__(self, sign_on: SignOn, keys: KeySet) -> None:
        self._sign_on = sign_on
        self._keys = keys

    async def authenticate(self, credential: Credential) -> Principal | None:
        """Return who the token's subject is, with the capabilities of its claim ``permissions``.

        None for a credential that is not a JWT.

        Raises
        ------
        Unauthorized
            It is a JWT, and not a valid one of this provider.
        """
        if not isinstance(credential, Bearer) or not looks_like_a_token(credential.token):
            return None
        import jwt

        try:
            header = jwt.get_unverified_header(credential.token)
            if header.get("alg") != ALGORITHM:
                raise refusal(INVALID, Unguessable)
            key = await self._keys.key(header.get("kid"))
            claims = None if key is None else self._claims(credential.token, key)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            log.debug("a token was refused: %s", type(error).__name__)
            claims = None
        if claims is None:
            raise refusal(INVALID, Unguessable)
        return _principal(claims)

    def _claims(self, token: str, key: RSAPublicKey) -> dict[str, Any]:
        import jwt

        return jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=self._sign_on.audience,
            issuer=self._sign_on.issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "aud", "iss"]},
        )


class NoSignOn:
    """Refuses tokens in the official words, where a node has users but no identity provider."""

    async def authenticate(self, credential: Credential) -> Principal | None:
        """Return None unless the credential is a JWT; raises Unauthorized for a JWT."""
        if isinstance(credential, Bearer) and looks_like_a_token(credential.token):
            raise refusal(NOT_CONFIGURED)
        return None


def require_library() -> None:
    """Check that tokens can be checked here.

    Raises
    ------
    ConfigurationError
        The library is missing.
    """
    try:
        import cryptography
        import jwt
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "single sign-on needs the packages PyJWT and cryptography",
            hint="pip install 'bacalhau-jupyter[auth]'",
            component=COMPONENT,
        ) from error
    del cryptography, jwt


def looks_like_a_token(text: str) -> bool:
    """Whether a bearer credential is a JWT in its form: three parts, the first two JSON objects."""
    parts = text.split(".")
    return len(parts) == 3 and all(_is_object(part) for part in parts[:2])


def _is_object(part: str) -> bool:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        # Looking at the first character first: random keys are told from tokens without parsing them.
        return data.lstrip()[:1] == b"{" and isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False


def _principal(claims: dict[str, Any]) -> Principal:
    permissions = claims.get(CLAIM)
    if permissions is None:
        permissions = []
    if not isinstance(permissions, list) or not all(isinstance(item, str) for item in permissions):
        raise refusal(INVALID, Unguessable)
    subject = claims.get("sub") or ""
    # It stands in histories and messages, where a line break would begin a line that somebody made up.
    if not is_readable(subject):
        raise refusal(INVALID, Unguessable)
    return Principal(f"{NAME_PREFIX}{subject}", frozenset(permissions), title=subject)
