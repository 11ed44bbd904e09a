"""The login of the web page: what a person enters, and in whose name the session is opened."""

from __future__ import annotations

from bacalhau_jupyter.api.page.sessions import Sessions
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.credentials import Basic, Bearer, Credential
from bacalhau_jupyter.auth.principals import OWNER, Principal
from bacalhau_jupyter.auth.sso.tokens import looks_like_a_token
from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.errors import Unauthorized

COMPONENT = "WebUI"


class LoginRequest(Wire):
    """The body of a login: a user's name and password, an API key, or the token of a one-time link."""

    username: str = always("")
    password: str = always("")
    key: str = always("")
    token: str = always("")

    @property
    def attempt(self) -> str:
        """Differs for logins that differ."""
        return "\0".join((self.username, self.password, self.key, self.token))


async def principal_of_login(login: LoginRequest, access: Access, sessions: Sessions) -> Principal:
    """Return in whose name a session may be opened.

    Raises
    ------
    Unauthorized
        The credential is missing or wrong, or of a kind that opens no session.
    """
    if login.username:
        return await _recognised(
            Basic(login.username, login.password), access, "no user of this node has this name and password"
        )
    if login.key:
        if looks_like_a_token(login.key):
            # A session would outlive it.
            raise Unauthorized("a token of single sign-on opens no session; log in with a key or a password")
        return await _recognised(
            Bearer(login.key), access, "this is not the API key of this node, or of one of its users"
        )
    if not sessions.redeem(login.token):
        raise Unauthorized("this link was used already, or is too old")
    return OWNER


async def _recognised(credential: Credential, access: Access, otherwise: str) -> Principal:
    try:
        return await access.recognise(credential)
    except Unauthorized:
        raise Unauthorized(otherwise) from None
