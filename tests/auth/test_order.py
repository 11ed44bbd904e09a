"""The order in which a request is judged (docs/decisions/0032)."""

from __future__ import annotations

import sys

import pytest
from multidict import CIMultiDict

from bacalhau_jupyter.auth.access import PROXIED_GUESSES, Access
from bacalhau_jupyter.auth.credentials import Bearer, Credential
from bacalhau_jupyter.auth.guesses import GUESS_WINDOW_S, GUESSES, TooManyGuesses
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.auth.principals import OWNER, Principal
from bacalhau_jupyter.auth.sockets import TrustedSockets
from tests.auth.callers import is_admitted
from tests.auth.test_access import KEY, LOCAL, sockets, transport
from tests.clock import ManualClock

__all__ = ["sockets", "transport"]

READER = Principal("reader")
READ_KEY = {"Authorization": "Bearer reader"}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux says who owns a socket")


class Reader:
    """Knows one more credential, which is worth less than the owner's."""

    async def authenticate(self, credential: Credential) -> Principal | None:
        return READER if credential == Bearer("reader") else None


def with_reader(sockets: TrustedSockets, clock: ManualClock | None = None) -> Access:
    return Access([NodeKey(KEY), Reader()], sockets, clock=clock)


async def test_a_valid_credential_decides_on_a_trusted_socket_too(transport, sockets) -> None:
    access = with_reader(sockets)
    assert await access.identify(LOCAL | READ_KEY, transport) is READER
    assert await access.identify(LOCAL | {"Authorization": f"Bearer {KEY}"}, transport) is OWNER


async def test_a_stale_bearer_on_a_trusted_socket_is_the_owners_however_often_it_comes(
    transport, sockets
) -> None:
    access = with_reader(sockets)
    for _ in range(2 * GUESSES):
        assert await access.identify(LOCAL | {"Authorization": "Bearer stale"}, transport) is OWNER
    assert await access.identify(LOCAL, transport) is OWNER


@pytest.mark.parametrize(
    "header",
    [
        {"Forwarded": "for=10.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"x-forwarded-proto": "https"},
        {"X-Forwarded-Prefix": ""},
    ],
)
async def test_what_a_proxy_passes_on_needs_a_credential(transport, sockets, header) -> None:
    access = with_reader(sockets)
    assert not await is_admitted(access, LOCAL | header, transport)
    assert not await is_admitted(access, LOCAL | header | {"Authorization": "Bearer stale"}, transport)
    assert await access.identify(LOCAL | header | READ_KEY, transport) is READER


async def test_guesses_of_a_page_are_limited_and_do_not_lock_out_the_owner(transport, sockets) -> None:
    clock = ManualClock()
    access = with_reader(sockets, clock)
    page = {**LOCAL, "Origin": "http://evil.example"}
    for _ in range(GUESSES):
        assert not await is_admitted(access, page | {"Authorization": "Bearer guess"}, transport)
    with pytest.raises(TooManyGuesses):
        # Not even the right one is looked at.
        await access.identify(page | {"Authorization": f"Bearer {KEY}"}, transport)
    assert not await is_admitted(access, page, transport)
    assert await access.identify(LOCAL | {"Authorization": f"Bearer {KEY}"}, transport) is OWNER
    clock.advance(GUESS_WINDOW_S + 1)
    assert await access.identify(page | {"Authorization": f"Bearer {KEY}"}, transport) is OWNER


def guess(*forwarded_for: str) -> CIMultiDict[str]:
    lines = [("X-Forwarded-For", line) for line in forwarded_for]
    return CIMultiDict([*LOCAL.items(), ("Authorization", "Bearer guess"), *lines])


def right(*forwarded_for: str) -> CIMultiDict[str]:
    headers = guess(*forwarded_for)
    headers["Authorization"] = f"Bearer {KEY}"
    return headers


@pytest.mark.parametrize(
    ("guesser", "is_limited_too"),
    [
        (("203.0.113.7",), ("203.0.113.7",)),
        # What the guesser itself sends comes first, in one line or in another.
        (("198.51.100.1, 203.0.113.7",), ("198.51.100.2,203.0.113.7",)),
        (("198.51.100.1", "203.0.113.7"), ("203.0.113.7",)),
        (("2001:db8::1",), ("2001:db8::2",)),
    ],
)
async def test_who_guesses_through_a_proxy_locks_out_nobody_else_behind_it(
    transport, sockets, guesser, is_limited_too
) -> None:
    access = with_reader(sockets, ManualClock())
    for _ in range(GUESSES):
        assert not await is_admitted(access, guess(*guesser), transport)
    with pytest.raises(TooManyGuesses):
        await access.identify(right(*is_limited_too), transport)
    assert await access.identify(right("203.0.113.8"), transport) is OWNER
    assert await access.identify(right("2001:db8:0:1::1"), transport) is OWNER


async def test_a_program_of_this_machine_gets_few_guesses_by_inventing_addresses(transport, sockets) -> None:
    access = with_reader(sockets, ManualClock())
    for number in range(PROXIED_GUESSES):
        assert not await is_admitted(access, guess(f"203.0.113.{number}"), transport)
    with pytest.raises(TooManyGuesses):
        await access.identify(right("198.51.100.1"), transport)
