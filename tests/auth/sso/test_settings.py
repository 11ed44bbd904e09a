"""A node does not start with single sign-on by halves."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.auth.sso.settings import SignOn
from bacalhau_jupyter.models.errors import ConfigurationError

WHOLE = {
    "ProviderID": "test",
    "ProviderName": "Test",
    "TokenEndpoint": "https://op.test/token",
    "JWKSUri": "https://op.test/jwks",
    "Issuer": "https://op.test",
    "DeviceClientID": "bacalhau",
    "Audience": "https://bacalhau.test/api",
    "Scopes": ["openid"],
    "DeviceAuthorizationEndpoint": "https://op.test/device",
    "PollingInterval": 3,
}
EMPTY = {name: type(value)() for name, value in WHOLE.items()}


def test_nothing_set_is_no_single_sign_on() -> None:
    assert SignOn.of(EMPTY) is None


def test_what_is_set_is_published_as_it_is() -> None:
    sign_on = SignOn.of({**WHOLE, "Scopes": []})
    assert sign_on is not None
    assert sign_on.published == {name: value for name, value in WHOLE.items() if name != "Scopes"}
    assert not sign_on.warnings


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"ProviderID": "x"},
            "missing required OAuth2 fields for JWT authorization: JWKSUri, Issuer, Audience",
        ),
        ({"Scopes": ["openid"]}, "missing required OAuth2 fields for JWT authorization: JWKSUri, Issuer"),
        (WHOLE | {"Audience": ""}, "missing required OAuth2 fields for JWT authorization: Audience"),
        (WHOLE | {"ProviderID": ""}, "no ProviderID, without which single sign-on is off"),
        (WHOLE | {"JWKSUri": "jwks"}, "invalid JWKS URL format: jwks"),
        (WHOLE | {"JWKSUri": "file:///etc/keys"}, "invalid JWKS URL format: file:///etc/keys"),
        (WHOLE | {"JWKSUri": "https://op.test:port/"}, "invalid JWKS URL format"),
        (WHOLE | {"TokenEndpoint": "op.test"}, "TokenEndpoint is not an http or https URL: op.test"),
        (WHOLE | {"PollingInterval": -1}, "PollingInterval must not be negative"),
    ],
)
def test_halves_are_refused(section, message) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        SignOn.of(section)
    assert message in refusal.value.message


def test_what_hinders_logins_or_goes_over_an_open_wire_is_warned_of() -> None:
    sign_on = SignOn.of({**WHOLE, "ProviderName": "", "JWKSUri": "http://op.test/jwks"})
    assert sign_on is not None
    assert [("ProviderName" in text, "JWKSUri" in text) for text in sign_on.warnings] == [
        (True, False),
        (False, True),
    ]
    local = SignOn.of({**WHOLE, "JWKSUri": "http://127.0.0.1:1/jwks"})
    assert local is not None
    assert not local.warnings
