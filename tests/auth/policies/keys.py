"""A key of a node, tokens of every kind that callers may send, and requests."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bacalhau_jupyter.auth.policies.requests import HttpRequest
from bacalhau_jupyter.auth.policies.tokens import TokenKey
from tests.conformance import caller

NODE_ID = "n-test"
CLIENT_ID = hashlib.sha256(bytes.fromhex(caller.MODULUS).lstrip(b"\0")).hexdigest()
"""Of the client's key in `tests.conformance.caller`."""
MONTH_US = 30 * 86400 * 1_000_000


@functools.cache
def key(name: str = "node") -> TokenKey:
    """Return a key pair; the same one for the same name."""
    with tempfile.TemporaryDirectory() as directory:
        return TokenKey.load(Path(directory) / f"{name}.pem", NODE_ID)


def claims(**changed: Any) -> dict[str, Any]:
    """Return the claims of a good token, with some of them changed; None removes one."""
    now = time.time_ns() / 1000
    whole = {
        "iss": NODE_ID,
        "sub": "ada",
        "aud": [NODE_ID],
        "iat": now,
        "exp": now + MONTH_US,
        "ns": {"*": 15},
    }
    return {name: value for name, value in (whole | changed).items() if value is not None}


def unsigned(**changed: Any) -> str:
    """Return a token without a signature."""
    return f"{_part({'typ': 'JWT', 'alg': 'none'})}.{_part(claims(**changed))}."


def signed_with_the_public_key(node: TokenKey | None = None, **changed: Any) -> str:
    """Return a token whose HMAC was made with what everybody may know: the public key."""
    signed = f"{_part({'typ': 'JWT', 'alg': 'HS256'})}.{_part(claims(**changed))}"
    public = (node or key()).constraints()["cert"].encode()
    mac = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def proof(phrase: bytes) -> dict[str, str]:
    """Return what a client with a key of its own answers to a challenge."""
    modulus = int(caller.MODULUS, 16)
    digest = caller.DIGEST_INFO + hashlib.sha256(phrase).digest()
    padded = b"\0\1" + b"\xff" * (253 - len(digest)) + b"\0" + digest
    signature = pow(int.from_bytes(padded), int(caller.PRIVATE_EXPONENT, 16), modulus).to_bytes(256)
    return {"PublicKey": caller.PUBLIC_KEY, "PhraseSignature": base64.b64encode(signature).decode()}


def tampered() -> str:
    """Return a good token whose rights were changed after it was signed."""
    head, _, signature = key().sign(claims(ns={"*": 1})).split(".")
    return f"{head}.{_part(claims(ns={'*': 15}))}.{signature}"


@functools.cache
def tokens() -> dict[str, str | None]:
    """Return ``Authorization`` headers by what is special about them."""
    return {
        "none": None,
        "all rights": "Bearer " + key().sign(claims()),
        "reads all": "Bearer " + key().sign(claims(ns={"*": 5})),
        "own namespace": "Bearer " + key().sign(claims(ns={"ada": 15})),
        "reads own": "Bearer " + key().sign(claims(ns={"ada": 1})),
        "two rights": "Bearer " + key().sign(claims(ns={"*": 5, "ada": 15})),
        "no namespaces": "Bearer " + key().sign(claims(ns=None)),
        "seconds": "Bearer " + key().sign(claims(exp=time.time() + 3600)),
        "whole numbers": "Bearer " + key().sign(claims(exp=time.time_ns() // 1000 + MONTH_US)),
        "expired": "Bearer " + key().sign(claims(exp=1000.5)),
        "no end": "Bearer " + key().sign(claims(exp=None)),
        "from the future": "Bearer " + key().sign(claims(nbf=time.time_ns())),
        "other audience": "Bearer " + key().sign(claims(aud=["n-other"])),
        "other issuer": "Bearer " + key().sign(claims(iss="n-other")),
        "audience is a text": "Bearer " + key().sign(claims(aud=NODE_ID)),
        "other key": "Bearer " + key("other").sign(claims()),
        "tampered": "Bearer " + tampered(),
        "unsigned": "Bearer " + unsigned(),
        "public key as secret": "Bearer " + signed_with_the_public_key(),
        "no JWT": "Bearer junk",
        "dots": "Bearer ..",
        "empty": "Bearer ",
        "basic": "Basic YTpi",
    }


def request(
    path: str = "/api/v1/orchestrator/jobs",
    method: str = "GET",
    *,
    authorization: str | None = None,
    body: bytes = b"",
    query: str = "",
) -> HttpRequest:
    """Return a request as policies see it."""
    headers = [("User-Agent", "test")]
    if authorization is not None:
        headers.append(("authorization", authorization))
    return HttpRequest("127.0.0.1:1234", method, path, query, tuple(headers), body)


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
