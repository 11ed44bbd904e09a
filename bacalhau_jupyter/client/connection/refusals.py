"""What a person is told when a cluster does not accept the caller, or does not let it do something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import BacalhauError, Forbidden, Unauthorized, error_from_envelope

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint

COMPONENT = "Client"
NO_CREDENTIAL = "no credential"
_OR_EXPIRED = ", which may have expired"

_WAYS_IN = (
    "Log in with %bacalhau auth login, or set BACALHAU_API_KEY, or set BACALHAU_API_USERNAME and "
    "BACALHAU_API_PASSWORD. The node's own user needs no credential on the node's machine."
)
_PARTS_OF_TOKEN = 3


def refusal_of(endpoint: Endpoint, status: int, body: Mapping[str, Any]) -> BacalhauError | None:
    """Return one sentence with the way out for an answer that refuses the caller; None for every other answer.

    Parameters
    ----------
    endpoint
        Where the request went, and with which credential.
    status
        The status of the answer.
    body
        The answer, decoded; empty where it can't be read.
    """
    if status == 401:
        kind = credential_kind(endpoint)
        refused = "requests without a credential" if kind == NO_CREDENTIAL else kind
        return Unauthorized(f"{endpoint.url} does not accept {refused}", hint=_WAYS_IN)
    reason = _reason(body)
    if status != 403 or not (reason or not body):
        return None
    if not body:
        # A websocket's refusal has no words.
        return Forbidden(f"{endpoint.url} does not let this caller read this", hint=_hint(endpoint))
    official = error_from_envelope(body, status)
    return Forbidden(
        reason,
        hint=_hint(endpoint),
        component=official.component,
        code=official.code,
        details=official.details,
    )


def _reason(body: Mapping[str, Any]) -> str:
    members = folded(body)
    details = members.get("details")
    if members.get("component") != "Authorizer" or not isinstance(details, Mapping):
        return ""
    return str(details.get("reason") or "")


def _hint(endpoint: Endpoint) -> str:
    # Who is known by name has a valid credential.
    kind = credential_kind(endpoint).removesuffix(_OR_EXPIRED)
    return (
        f"The request to {endpoint.url} used {kind}. The administrator of the node grants "
        "capabilities. %bacalhau auth info shows which credentials are set here."
    )


def credential_kind(endpoint: Endpoint) -> str:
    """Name the credential by its kind, never by its value."""
    if endpoint.token:
        if endpoint.token.count(".") == _PARTS_OF_TOKEN - 1:
            return f"a token{_OR_EXPIRED}"
        return "the node's own key" if endpoint.embedded else "this API key"
    return "this user name and password" if endpoint.basic else NO_CREDENTIAL
