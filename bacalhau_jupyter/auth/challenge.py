"""The token exchange that official clients do before their first protected call.

The token authorises nothing here (see `access`): it only lets those clients go on, so it is random and forgotten.
"""

from __future__ import annotations

import base64
import binascii
import secrets

from bacalhau_jupyter.models.api import Authentication, AuthMethod, AuthnRequest
from bacalhau_jupyter.models.codec import decode
from bacalhau_jupyter.models.errors import BadRequest, NotFound

METHOD = "clientkey"
"""The one method's name, in lower case as in its path."""


class ChallengeMethod:
    """The ``clientkey`` method: sign a phrase with a key that the client made for itself.

    Parameters
    ----------
    node_id
        The phrase, as officially.
    """

    def __init__(self, node_id: str) -> None:
        phrase = base64.b64encode(node_id.encode()).decode()
        self.method = AuthMethod(type="challenge", params={"InputPhrase": phrase})

    def methods(self) -> dict[str, AuthMethod]:
        """Name → how."""
        return {METHOD: self.method}

    def requirement(self, name: str) -> AuthMethod:
        """Return how method ``name`` works; raises NotFound for another name."""
        if name != METHOD:
            raise NotFound(f"authentication method not found: {name}", component="Authentication")
        return self.method

    def answer(self, name: str, request: AuthnRequest, *, trusted: bool) -> Authentication:
        """Answer credentials: a token for a caller that is trusted anyway, a refusal for everybody else.

        Raises
        ------
        NotFound
            There is no such method.
        BadRequest
            The credentials are not what the method asks for.
        """
        self.requirement(name)
        try:
            data = base64.b64decode(request.method_data, validate=True)
        except (binascii.Error, ValueError):
            raise BadRequest("MethodData is not base64", component="Authentication") from None
        answer = {key.lower(): value for key, value in decode(data, dict[str, object], "MethodData").items()}
        for member in ("PhraseSignature", "PublicKey"):
            if not isinstance(answer.get(member.lower()), str):
                raise BadRequest(f"MethodData has no {member}", component="Authentication")
        if not trusted:
            return Authentication(
                success=False,
                reason="this node accepts its own OS user on this machine, or its API key (BACALHAU_API_KEY)",
            )
        return Authentication(success=True, token=secrets.token_urlsafe(32))
