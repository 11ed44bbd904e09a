"""The keys of the provider: a flood of tokens is no flood of fetches, and a failing provider takes nothing away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.auth.sso import keys
from bacalhau_jupyter.auth.sso.keys import FRESH_S, PAUSE_S, SIZE_LIMIT, STALE_S, KeySet
from tests.auth.sso.provider import Provider, published, published_curve, running_provider
from tests.clock import ManualClock


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def key_set(provider: Provider, clock: ManualClock) -> AsyncIterator[KeySet]:
    kept = KeySet(provider.url, clock)
    yield kept
    await kept.close()


async def flood(key_set: KeySet) -> list[object]:
    return await asyncio.gather(*(key_set.key(f"unknown-{number}") for number in range(1000)))


async def test_a_thousand_unknown_keys_cause_one_fetch_each_pause(key_set, provider, clock) -> None:
    assert await key_set.key("one") is not None
    assert not any(await flood(key_set))
    assert provider.requests == 1
    clock.advance(PAUSE_S)
    assert not any(await flood(key_set))
    assert not any(await flood(key_set))
    assert provider.requests == 2


async def test_a_key_that_is_new_is_accepted_after_the_pause_even_behind_a_flood(
    key_set, provider, clock
) -> None:
    await key_set.key("one")
    await flood(key_set)
    provider.members = [published("two")]
    assert await key_set.key("two") is None
    clock.advance(PAUSE_S)
    assert await key_set.key("two") is not None
    assert await key_set.key("one") is None


async def test_a_known_key_waits_for_no_fetch_and_is_renewed_beside_its_use(key_set, provider, clock) -> None:
    await key_set.key("one")
    provider.silent = True
    clock.advance(FRESH_S + 1)
    assert await key_set.key("one") is not None
    assert await key_set.key("one") is not None


async def test_a_removed_key_ends_at_the_latest_when_the_set_is_stale(key_set, provider, clock) -> None:
    await key_set.key("one")
    provider.members = []
    clock.advance(STALE_S)
    assert await key_set.key("one") is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": 500}, "HTTP 500"),
        ({"status": 302, "headers": {"Location": "/elsewhere"}}, "HTTP 302"),
        ({"body": b"<html>login</html>"}, "not JSON"),
        ({"body": b"[]"}, "not a set of keys"),
        ({"body": b'{"keys": {}}'}, "not a set of keys"),
        ({"body": b"[" * 100_000}, "recursion"),
        ({"body": b" " * (SIZE_LIMIT + 1)}, "bytes"),
        ({"silent": True}, "TimeoutError"),
    ],
    ids=["500", "redirect", "html", "list", "no list", "deep", "too large", "silent"],
)
async def test_a_failing_provider_takes_no_key_away_and_is_logged_once_each_pause(
    key_set, provider, clock, monkeypatch, caplog, changes, reason
) -> None:
    assert await key_set.key("one") is not None
    for name, value in changes.items():
        setattr(provider, name, value)
    clock.advance(STALE_S)
    # One that answers is waited for, however busy the machine is.
    monkeypatch.setattr(keys, "FETCH_TIMEOUT_S", 0.5 if provider.silent else 60.0)
    http, key_set._http = key_set._http, None
    assert http is not None
    await http.close()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await key_set.key("one") is not None
            assert await key_set.key("other") is None
    assert provider.requests == 2
    assert [reason in record.getMessage() for record in caplog.records] == [True]


async def test_a_provider_that_comes_up_later_is_asked_again_after_the_pause(
    key_set, provider, clock
) -> None:
    provider.status = 503
    key_set.start()
    assert await key_set.key("one") is None
    provider.status = 200
    assert await key_set.key("one") is None
    clock.advance(PAUSE_S)
    assert await key_set.key("one") is not None


@pytest.mark.parametrize(
    "member",
    [
        published("other", use="enc"),
        published("other", alg="RS512"),
        published("other", n="!"),
        published("other", e=None),
        published("short", bits=1024),
        published_curve(),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "other"},
        "text",
    ],
    ids=["encryption", "another algorithm", "broken", "half", "1024 bits", "curve", "shared secret", "text"],
)
async def test_keys_that_can_sign_nothing_here_are_passed_over(key_set, provider, member) -> None:
    provider.members = [member, published("one")]
    for name in ("other", "short", "curve"):
        assert await key_set.key(name) is None
    assert await key_set.key(None) is not None


async def test_a_token_without_key_id_is_for_the_only_key(key_set, provider, clock) -> None:
    assert await key_set.key(None) is not None
    provider.members.append(published("two"))
    clock.advance(STALE_S)
    assert await key_set.key(None) is None


async def test_a_caller_that_goes_away_leaves_the_fetch_to_the_others(key_set) -> None:
    first, second = (asyncio.create_task(key_set.key("one")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None
