"""Which tokens are accepted, and with which capabilities: the official table, with our two differences."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bacalhau_jupyter.auth.credentials import Basic, Bearer
from bacalhau_jupyter.auth.sso.keys import KeySet
from bacalhau_jupyter.auth.sso.settings import SignOn
from bacalhau_jupyter.auth.sso.tokens import LEEWAY_S, NoSignOn, TokenAuthenticator, looks_like_a_token
from bacalhau_jupyter.models.errors import Unauthorized
from tests.auth.sso.provider import AUDIENCE, ISSUER, NULL, ec_key, rsa_key, running_provider, token

FAR = 3600


@pytest.fixture
async def authenticator() -> AsyncIterator[TokenAuthenticator]:
    async with running_provider() as provider:
        keys = KeySet(provider.url)
        yield TokenAuthenticator(SignOn(provider.url, ISSUER, AUDIENCE, {}), keys)
        await keys.close()


def now() -> int:
    return int(time.time())


async def verdict(authenticator: TokenAuthenticator, text: str) -> bool | None:
    """True with ``read:job``, False without it, None for a refused token."""
    try:
        principal = await authenticator.authenticate(Bearer(text))
    except Unauthorized as error:
        assert error.details == {"reason": "invalid JWT token"}
        return None
    assert principal is not None
    return principal.may("read:job")


def unsigned(header: dict[str, Any], claims: object, signature: str = "") -> str:
    parts = (json.dumps(part).encode() for part in (header, claims))
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), signature])


def altered(text: str) -> str:
    header, _, signature = text.split(".")
    claims = base64.urlsafe_b64encode(
        json.dumps({"iss": ISSUER, "aud": AUDIENCE, "exp": now() + FAR, "permissions": ["*"]}).encode()
    )
    return f"{header}.{claims.decode().rstrip('=')}.{signature}"


def public_pem() -> bytes:
    return rsa_key("one").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("mint", "expected"),
    [
        pytest.param(lambda: token(), True, id="good"),
        pytest.param(lambda: token(header={"typ": "at+jwt"}), True, id="at+jwt"),
        pytest.param(lambda: token(aud=["other", AUDIENCE]), True, id="audience in a list"),
        pytest.param(lambda: token(aud="other"), None, id="another audience"),
        pytest.param(lambda: token(aud=None), None, id="no audience"),
        pytest.param(lambda: token(aud=7), None, id="a number as audience"),
        pytest.param(lambda: token(iss="https://elsewhere.test"), None, id="another issuer"),
        pytest.param(lambda: token(iss=ISSUER + "/"), None, id="issuer with a slash"),
        pytest.param(lambda: token(iss=None), None, id="no issuer"),
        pytest.param(lambda: token(exp=None), None, id="no expiry"),
        pytest.param(lambda: token(exp=NULL), None, id="null expiry"),
        pytest.param(lambda: token(exp=now() - FAR), None, id="expired"),
        pytest.param(lambda: token(exp=now() - LEEWAY_S - 5), None, id="expired beyond the leeway"),
        pytest.param(lambda: token(exp=now() - 1), True, id="expired within the leeway (officially refused)"),
        pytest.param(lambda: token(exp=str(now() + FAR)), True, id="expiry as a numeric string"),
        pytest.param(lambda: token(exp="soon"), None, id="expiry as words"),
        pytest.param(lambda: token(exp=float("inf")), None, id="endless expiry"),
        pytest.param(lambda: token(exp=now() + 60.5), True, id="fractional expiry"),
        pytest.param(lambda: token(iat=None), True, id="no time of issue"),
        pytest.param(lambda: token(iat=now() + FAR), None, id="issued in the future"),
        pytest.param(lambda: token(iat=now() + 5), True, id="issued within the leeway (officially refused)"),
        pytest.param(lambda: token(nbf=now() + FAR), None, id="not valid yet"),
        pytest.param(lambda: token(sub=None), True, id="no subject"),
        pytest.param(lambda: token(sub=7), None, id="a number as subject"),
        pytest.param(lambda: token(sub="a\ud800"), None, id="a subject that no file or database can hold"),
        pytest.param(lambda: token(sub="a\nJob completed"), None, id="a subject that begins another line"),
        pytest.param(lambda: token(sub="a\u202eb"), None, id="a subject that turns around what follows"),
        pytest.param(
            lambda: token(sub="auth0|Zoë@example.test"), True, id="a subject with letters and signs"
        ),
        pytest.param(lambda: token(permissions=None), False, id="no permissions"),
        pytest.param(lambda: token(permissions=[]), False, id="empty permissions"),
        pytest.param(lambda: token(permissions=NULL), False, id="null permissions"),
        pytest.param(lambda: token(permissions="read:job"), None, id="permissions as text"),
        pytest.param(lambda: token(permissions="*"), None, id="a star as text"),
        pytest.param(lambda: token(permissions=["read:job", 7]), None, id="numbers among the permissions"),
        pytest.param(lambda: token(permissions=None, scope="read:job"), False, id="only in the scope"),
        pytest.param(lambda: token(permissions=["*"]), True, id="everything"),
        pytest.param(lambda: token(permissions=["read:*"]), True, id="all reading"),
        pytest.param(lambda: token(permissions=["READ:JOB"]), False, id="wrong case"),
        pytest.param(lambda: token(permissions=["write:job"]), False, id="another capability"),
        pytest.param(lambda: token(algorithm="RS384"), None, id="RS384"),
        pytest.param(lambda: token(algorithm="PS256"), None, id="PS256"),
        pytest.param(lambda: token(algorithm="ES256", signed_with=ec_key()), None, id="ES256"),
        pytest.param(lambda: token(header={"kid": None}), True, id="no key ID"),
        pytest.param(lambda: token(header={"kid": "unknown"}), None, id="unknown key ID"),
        pytest.param(lambda: unsigned({"alg": "RS256", "kid": 7}, {}, "AA"), None, id="a number as key ID"),
        pytest.param(lambda: token(signed_with=rsa_key("two")), None, id="signed with another key"),
        pytest.param(lambda: altered(token()), None, id="altered"),
        pytest.param(lambda: token() + "A", None, id="signature too long"),
        pytest.param(
            lambda: token(header={"crit": ["x"], "x": 1}), None, id="unknown crit (officially accepted)"
        ),
        pytest.param(lambda: token(header={"jku": "https://elsewhere.test/jwks"}), True, id="jku"),
        pytest.param(lambda: unsigned({"alg": "none"}, {"permissions": ["*"]}), None, id="alg none"),
        pytest.param(
            lambda: unsigned({"alg": "RS256", "kid": "one"}, {"permissions": ["*"]}), None, id="no signature"
        ),
        pytest.param(lambda: unsigned({"alg": ["RS256"]}, {}), None, id="a list as algorithm"),
        pytest.param(lambda: unsigned({}, {}), None, id="no algorithm"),
        pytest.param(lambda: unsigned({"alg": "RS256", "kid": "one"}, {}, "!"), None, id="no base64"),
    ],
)
async def test_the_verdict_on_a_token(authenticator, mint, expected) -> None:
    assert await verdict(authenticator, mint()) is expected


async def test_a_token_signed_with_the_public_key_as_shared_secret_is_refused(authenticator) -> None:
    import hashlib
    import hmac

    header_and_claims = unsigned({"alg": "HS256", "kid": "one"}, {"permissions": ["*"]}).rstrip(".")
    signature = hmac.digest(public_pem(), header_and_claims.encode(), hashlib.sha256)
    text = f"{header_and_claims}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    assert await verdict(authenticator, text) is None


async def test_who_the_token_names_can_be_called_like_no_user_of_the_configuration(authenticator) -> None:
    principal = await authenticator.authenticate(Bearer(token(sub="owner")))
    assert (principal.name, principal.called) == ("sso:owner", "owner")


@pytest.mark.parametrize(
    "text",
    [
        "key",
        "a.b.c",
        "e30.e30",
        "..",
        "W10.W10.",
        "e30.W10.x",
        "e30.e30.e30.e30",
        "\udcff.e30.e30",
        "é.e30.x",
    ],
)
async def test_what_is_no_token_is_left_to_others(authenticator, text) -> None:
    assert not looks_like_a_token(text)
    assert await authenticator.authenticate(Bearer(text)) is None
    assert await NoSignOn().authenticate(Bearer(text)) is None


async def test_a_user_and_password_are_left_to_others(authenticator) -> None:
    assert await authenticator.authenticate(Basic(token(), "")) is None


async def test_a_deeply_nested_header_is_no_token(authenticator) -> None:
    nested = base64.urlsafe_b64encode(b'{"a":' + b"[" * 40_000).decode().rstrip("=")
    assert await authenticator.authenticate(Bearer(f"{nested}.e30.x")) is None


async def test_a_node_without_provider_says_so_in_the_official_words() -> None:
    with pytest.raises(Unauthorized) as refusal:
        await NoSignOn().authenticate(Bearer(token()))
    assert refusal.value.details == {"reason": "OAuth2 authentication not configured on server"}
