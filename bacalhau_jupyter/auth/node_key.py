"""The node's own API key, which is worth as much as its owner."""

from __future__ import annotations

import hmac

from bacalhau_jupyter.auth.credentials import Bearer, Credential
from bacalhau_jupyter.auth.principals import OWNER, Principal


class NodeKey:
    """Recognises the key that the node made for its owner.

    Parameters
    ----------
    key
        Empty means that no key is accepted.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    async def authenticate(self, credential: Credential) -> Principal | None:
        """Return the owner for the key, None for every other credential."""
        if not self._key or not isinstance(credential, Bearer):
            return None
        token = credential.token.encode("utf-8", "surrogateescape")
        return OWNER if hmac.compare_digest(token, self._key) else None
