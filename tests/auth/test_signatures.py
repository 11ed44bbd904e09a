from __future__ import annotations

import base64
import json

import pytest

from bacalhau_jupyter.auth.challenge import ChallengeMethod
from bacalhau_jupyter.auth.guesses import GUESS_WINDOW_S, GUESSES, GuessLimit, TooManyGuesses
from bacalhau_jupyter.auth.signatures import is_signature
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.wire.api import AuthnRequest
from tests.clock import ManualClock
from tests.conformance import caller

KEY = base64.b64decode(caller.PUBLIC_KEY)


def signed(phrase: bytes) -> AuthnRequest:
    return AuthnRequest(method_data=json.loads(caller.challenge_answer(phrase))["MethodData"])


def signature(phrase: bytes) -> bytes:
    answer = json.loads(base64.b64decode(signed(phrase).method_data))
    return base64.b64decode(answer["PhraseSignature"])


def test_the_signature_of_an_official_client_is_right_only_for_its_phrase_and_key() -> None:
    right = signature(b"n-test")
    assert is_signature(KEY, right, b"n-test")
    assert not is_signature(KEY, right, b"n-other")
    assert not is_signature(KEY, right[:-1] + bytes([right[-1] ^ 1]), b"n-test")
    changed = bytearray(KEY)
    changed[40] ^= 1
    assert not is_signature(bytes(changed), right, b"n-test")


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"0",
        b"\x30",
        KEY[:-1],
        KEY + b"\0",
        b"\x30\x84\xff\xff\xff\xff" + KEY[4:],
        b"\x30\x80" + KEY[4:],
        # Exponent 1: anything signs itself. A modulus of 8 bits, and one of 80 000.
        KEY[:-3] + b"\0\0\1",
        b"\x30\x06\x02\x01\x7b\x02\x01\x03",
        b"\x30\x82\x27\x18\x02\x82\x27\x10" + b"\x7f" * 10_000 + b"\x02\x01\x03",
    ],
)
def test_a_key_that_is_too_short_signs_nothing(key: bytes) -> None:
    for text in (b"", b"\0" * 256, b"\0" * 255 + b"\1", signature(b"n-test")):
        assert not is_signature(key, text, b"n-test")


def test_a_forged_padding_is_refused() -> None:
    # What a careless check of PKCS #1 v1.5 with a small exponent falls for: garbage behind the digest.
    modulus = int(caller.MODULUS, 16)
    digest = caller.DIGEST_INFO + __import__("hashlib").sha256(b"n-test").digest()
    short = b"\0\1" + b"\xff" * 8 + b"\0" + digest
    padded = short + b"\xaa" * (256 - len(short))
    forged = pow(int.from_bytes(padded), int(caller.PRIVATE_EXPONENT, 16), modulus).to_bytes(256)
    assert not is_signature(KEY, forged, b"n-test")


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_wrong_signature_gives_no_token_whoever_sends_it(trusted: bool) -> None:
    method = ChallengeMethod("n-test", ManualClock())
    refused = await method.answer("clientkey", signed(b"n-other"), trusted=trusted, caller="a")
    assert (refused.success, refused.token) == (False, "")
    right = await method.answer("clientkey", signed(b"n-test"), trusted=trusted, caller="a")
    assert right.success is trusted
    assert bool(right.token) is trusted


async def test_too_many_wrong_signatures_are_not_looked_at_any_more() -> None:
    clock = ManualClock()
    method = ChallengeMethod("n-test", clock)
    for number in range(GUESSES):
        with pytest.raises(BadRequest):
            await method.answer("clientkey", AuthnRequest(method_data=f"%{number}"), trusted=True, caller="a")
    with pytest.raises(TooManyGuesses):
        await method.answer("clientkey", signed(b"n-test"), trusted=True, caller="a")
    assert (await method.answer("clientkey", signed(b"n-test"), trusted=True, caller="b")).success
    clock.advance(GUESS_WINDOW_S + 1)
    assert (await method.answer("clientkey", signed(b"n-test"), trusted=True, caller="a")).success


def test_the_memory_of_wrong_guesses_is_bounded_and_nobody_locks_out_anybody_else() -> None:
    limit = GuessLimit(ManualClock())
    for number in range(5000):
        for _ in range(30):
            limit.failed(f"caller {number}")
    assert len(limit._by_caller) == 1000
    assert all(len(times) == GUESSES for times in limit._by_caller.values())
    assert limit.wait_s("somebody else") == 0
    assert limit.wait_s("caller 4999") > 0
