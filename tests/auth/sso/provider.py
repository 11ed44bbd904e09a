"""An identity provider's key set on a loopback port, whose answer the test chooses, and its tokens."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://sign-on.test"
AUDIENCE = "https://bacalhau.test/api"


def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the RSA key of that name; the same one in the whole run."""
    return _made(name, bits)


@functools.cache
def _made(name: str, bits: int) -> rsa.RSAPrivateKey:
    del name
    return rsa.generate_private_key(65537, bits)


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """Return an elliptic curve key."""
    return ec.generate_private_key(ec.SECP256R1())


def published(name: str, bits: int = 2048, **changes: Any) -> dict[str, Any]:
    """Return the public part of a key as a member of a key set; None as a change leaves a member out."""
    member = json.loads(RSAAlgorithm.to_jwk(rsa_key(name, bits).public_key()))
    member |= {"kid": name, "use": "sig", "alg": "RS256"} | changes
    return {key: value for key, value in member.items() if value is not None}


def published_curve() -> dict[str, Any]:
    """Return the elliptic curve key as a member of a key set."""
    return {**json.loads(ECAlgorithm.to_jwk(ec_key().public_key())), "kid": "curve"}


def token(
    *,
    signed_with: Any = None,
    key: str = "one",
    algorithm: str = "RS256",
    header: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """Return a good token with some claims changed; None leaves a claim out, ``NULL`` makes it null."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "u1",
        "iat": now,
        "exp": now + 600,
        "permissions": ["read:job"],
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    claims = {name: None if value is NULL else value for name, value in claims.items()}
    headers = {"kid": key} | (header or {})
    signing = rsa_key(key) if signed_with is None else signed_with
    body = json.dumps(claims).encode()
    return jwt.api_jws.encode(
        body, signing, algorithm, {name: value for name, value in headers.items() if value is not None}
    )


NULL = object()


class Provider:
    """Serves a key set; counts the requests."""

    def __init__(self) -> None:
        self.members: list[dict[str, Any]] = [published("one")]
        self.requests = 0
        self.status = 200
        self.body: bytes | None = None
        self.headers: dict[str, str] = {}
        self.silent = False
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer what the test chose."""
        del request
        self.requests += 1
        if self.silent:
            await asyncio.Event().wait()
        body = json.dumps({"keys": self.members}).encode() if self.body is None else self.body
        return web.Response(status=self.status, body=body, headers=self.headers)


@asynccontextmanager
async def running_provider() -> AsyncIterator[Provider]:
    """Run a provider for the duration."""
    provider = Provider()
    app = web.Application()
    app.router.add_get("/{path:.*}", provider.answer)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=1)
    try:
        provider.url = str(server.make_url("/jwks"))
        yield provider
    finally:
        await server.close()
