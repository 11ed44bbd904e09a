"""What it costs to check a token of single sign-on, with each request."""

from __future__ import annotations

import asyncio
import time

from bacalhau_jupyter.auth.credentials import Bearer
from bacalhau_jupyter.auth.sso.keys import KeySet
from bacalhau_jupyter.auth.sso.settings import SignOn
from bacalhau_jupyter.auth.sso.tokens import TokenAuthenticator
from bacalhau_jupyter.models.errors import Unauthorized
from benchmarks.harness import Row
from tests.auth.sso.provider import AUDIENCE, ISSUER, rsa_key, running_provider, token

TARGET_MS = 0.2


def measure(quick: bool) -> list[Row]:
    """One good token, and tokens that name keys which the provider does not have. CPU time."""
    return asyncio.run(_measure(200 if quick else 2000))


async def _measure(rounds: int) -> list[Row]:
    async with running_provider() as provider:
        keys = KeySet(provider.url)
        authenticator = TokenAuthenticator(SignOn(provider.url, ISSUER, AUDIENCE, {}), keys)
        good = Bearer(token())
        await authenticator.authenticate(good)
        started = time.process_time()
        for _ in range(rounds):
            await authenticator.authenticate(good)
        good_ms = (time.process_time() - started) / rounds * 1e3
        bare_ms = _verification_ms(rounds)
        junk = Bearer(token(header={"kid": "unknown"}))
        started = time.process_time()
        for _ in range(rounds):
            try:
                await authenticator.authenticate(junk)
            except Unauthorized:
                continue
        junk_ms = (time.process_time() - started) / rounds * 1e3
        await keys.close()
    return [
        Row("a token of single sign-on", good_ms, "ms", bare_ms, "RSA verification alone", TARGET_MS),
        Row("a token that names no known key", junk_ms, "ms", target=TARGET_MS),
    ]


def _verification_ms(rounds: int) -> float:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    key, message = rsa_key("one"), b"x" * 600
    signature, public = key.sign(message, PKCS1v15(), SHA256()), key.public_key()
    started = time.process_time()
    for _ in range(rounds):
        public.verify(signature, message, PKCS1v15(), SHA256())
    return (time.process_time() - started) / rounds * 1e3
