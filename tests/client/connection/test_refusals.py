"""What a person reads when a cluster does not accept the caller, or forbids something."""

from __future__ import annotations

import base64

import pytest

from bacalhau_jupyter.client.connection.refusals import refusal_of
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.errors import Forbidden, Unauthorized

URL = "http://cluster:1234"
REASON = "user 'ron' does not have the required capability 'write:job'"
ENVELOPE = {
    "Message": "Request Forbidden",
    "Code": "Forbidden",
    "Component": "Authorizer",
    "Details": {"reason": REASON},
}
SECRETS = ("secret-key-0123456789", "a.secret.token", "s3cret-password")
ENDPOINTS = [
    (Endpoint(URL), "no credential"),
    (Endpoint(URL, token=SECRETS[0]), "this API key"),
    (Endpoint(URL, token=SECRETS[1]), "a token, which may have expired"),
    (Endpoint(URL, basic=base64.b64encode(b"u:s3cret-password").decode()), "this user name and password"),
    (Endpoint("http://u:s3cret-password@cluster:1234"), "this user name and password"),
]


@pytest.mark.parametrize(("endpoint", "kind"), ENDPOINTS)
def test_the_credential_is_named_by_its_kind_and_never_by_its_value(endpoint: Endpoint, kind: str) -> None:
    refused = refusal_of(endpoint, 401, {"Message": "Request Unauthorized"})
    assert isinstance(refused, Unauthorized)
    accepted = "requests without a credential" if kind == "no credential" else kind
    assert refused.message == f"{URL} does not accept {accepted}"
    assert "%bacalhau auth login" in refused.hint
    forbidden = refusal_of(endpoint, 403, ENVELOPE)
    assert isinstance(forbidden, Forbidden)
    assert forbidden.message == REASON
    assert f"used {kind.removesuffix(', which may have expired')}." in forbidden.hint
    for error in (refused, forbidden):
        assert not any(
            secret in text for secret in (*SECRETS, endpoint.basic or "-") for text in error.summary_lines()
        )


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"Message": "no such job"}),
        (403, {"Message": "the signature has expired", "Component": "Results"}),
        (403, {"Message": "a quota", "Component": "Authorizer", "Details": None}),
        (200, {}),
    ],
)
def test_other_answers_keep_their_own_words(status: int, body: dict[str, object]) -> None:
    assert refusal_of(Endpoint(URL), status, body) is None


def test_a_stream_that_is_refused_without_words_gets_some() -> None:
    refused = refusal_of(Endpoint(URL, token=SECRETS[0]), 403, {})
    assert isinstance(refused, Forbidden)
    assert URL in refused.message
