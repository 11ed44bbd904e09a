"""What a token says, for the person who has it; nobody may decide anything by it, for its signature is not checked."""

from __future__ import annotations

import base64
import json
from typing import Any

from bacalhau_jupyter.client.login import COMPONENT
from bacalhau_jupyter.models.errors import BadRequest


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a JWT; raises BadRequest for what is not one."""
    header, *rest = token.split(".")
    if len(rest) != 2:
        raise _no_token()
    return _object(header), _object(rest[0])


def _object(part: str) -> dict[str, Any]:
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
        plain = json.loads(data)
    except (ValueError, RecursionError):
        raise _no_token() from None
    if not isinstance(plain, dict):
        raise _no_token()
    return plain


def _no_token() -> BadRequest:
    return BadRequest("the saved token is not a JWT, so it can't be decoded", component=COMPONENT)
