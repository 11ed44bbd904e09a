"""Whether a password or key is a configured user's, and what the check costs."""

from __future__ import annotations

import asyncio
import base64
import builtins
import threading
from collections.abc import Iterator
from typing import Any

import bcrypt
import pytest

from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.credentials import Basic, Bearer
from bacalhau_jupyter.auth.guesses import GUESSES, TooManyGuesses
from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.auth.sockets import TrustedSockets
from bacalhau_jupyter.auth.users import authenticator, hashes
from bacalhau_jupyter.auth.users.authenticator import ConfiguredUsers
from bacalhau_jupyter.auth.users.records import User
from bacalhau_jupyter.auth.users.verdicts import KEPT, KEPT_S, Verdicts
from bacalhau_jupyter.models.errors import ConfigurationError, ServiceUnavailable, Unauthorized
from tests.clock import ManualClock

READ = frozenset({"read:job"})
PASSWORD = "correct horse"


def hashed(password: str, cost: int = 4, kind: bytes = b"2b") -> str:
    made = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(cost)).decode()
    return made.replace("$2b$", f"${kind.decode()}$")


PLAIN = User(username="Ada", password=PASSWORD, actions=READ)
KEY = User(alias="ci", api_key="k" * 24, actions=READ)


@pytest.fixture
def cost_counter(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Count what hashes cost: a hash of cost n is worth 2 ** n."""
    spent = {"work": 0.0, "checks": 0.0}
    check, make = bcrypt.checkpw, bcrypt.hashpw

    def cost(salt: bytes) -> int:
        return 1 << int(salt.split(b"$")[2])

    def checked(password: bytes, stored: bytes) -> bool:
        spent["work"] += cost(stored)
        spent["checks"] += 1
        return check(password, stored)

    def made(password: bytes, salt: bytes) -> bytes:
        spent["work"] += cost(salt)
        return make(password, salt)

    monkeypatch.setattr(bcrypt, "checkpw", checked)
    monkeypatch.setattr(bcrypt, "hashpw", made)
    return spent


class Users:
    """An authenticator that is closed at the end."""

    def __init__(self) -> None:
        self.made: list[ConfiguredUsers] = []
        self.clock = ManualClock()

    def __call__(self, *users: User) -> ConfiguredUsers:
        self.made.append(ConfiguredUsers(users, self.clock))
        return self.made[-1]


@pytest.fixture
def configured() -> Iterator[Users]:
    users = Users()
    yield users
    for made in users.made:
        made.close()


async def who(users: ConfiguredUsers, username: str, password: str) -> str:
    try:
        principal = await users.authenticate(Basic(username, password))
    except Unauthorized as error:
        assert error.details == {"reason": "invalid basic auth credentials"}
        return ""
    assert principal is not None
    return principal.name


@pytest.mark.parametrize("kind", [b"2a", b"2b", b"2y"])
async def test_hashes_of_every_official_kind_are_checked(configured: Users, kind: bytes) -> None:
    users = configured(User(username="bea", password=hashed(PASSWORD, kind=kind), actions=READ), PLAIN)
    assert await who(users, "BEA", PASSWORD) == "user:bea"
    assert await who(users, "ada", PASSWORD) == "user:ada"
    for username, password in [
        ("bea", PASSWORD.upper()),
        ("bea", ""),
        ("bea", hashed(PASSWORD, kind=kind)),
        ("nobody", PASSWORD),
        ("nobody", ""),
        ("", ""),
        ("ada", ""),
        ("ada", PASSWORD + "\0"),
        ("ada", "\udcff"),
    ]:
        assert await who(users, username, password) == ""


async def test_plain_passwords_need_no_hash_and_no_library(
    configured: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_bcrypt(monkeypatch)
    users = configured(PLAIN, KEY)
    assert await who(users, "ADA", PASSWORD) == "user:ada"
    assert await who(users, "ada", "wrong") == ""
    assert await who(users, "nobody", "wrong") == ""
    assert await users.authenticate(Bearer("k" * 24)) == Principal("key:ci", READ, "ci")
    assert await users.authenticate(Bearer("K" * 24)) is None
    with pytest.raises(ConfigurationError, match="bcrypt, which is not installed") as caught:
        configured(User(username="bea", password=hashed(PASSWORD), actions=READ))
    assert "bacalhau-jupyter[auth]" in caught.value.hint


def without_bcrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "bcrypt":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)


async def test_a_password_longer_than_bcrypt_reads_is_wrong(configured: Users) -> None:
    users = configured(User(username="bea", password=hashed("p" * 72), actions=READ))
    assert await who(users, "bea", "p" * 72) == "user:bea"
    assert await who(users, "bea", "p" * 73) == ""
    assert await who(users, "bea", "p" * 100_000) == ""


@pytest.mark.parametrize("username", ["low", "high", "plain", "nobody", ""])
@pytest.mark.parametrize("password", [PASSWORD, "wrong", "", "p" * 80])
async def test_every_check_costs_the_same_whoever_is_named(
    configured: Users, cost_counter: dict[str, float], username: str, password: str
) -> None:
    users = configured(
        User(username="low", password=hashed("low" + PASSWORD, 4), actions=READ),
        User(username="high", password=hashed("high" + PASSWORD, 7), actions=READ),
        User(username="plain", password=PASSWORD, actions=READ),
    )
    cost_counter["work"] = 0
    await who(users, username, password)
    assert cost_counter["work"] == 1 << 7


async def test_a_hash_is_checked_once_a_minute_however_many_ask(
    configured: Users, cost_counter: dict[str, float]
) -> None:
    users = configured(User(username="bea", password=hashed(PASSWORD), actions=READ))
    together = await asyncio.gather(*(who(users, "bea", PASSWORD) for _ in range(30)))
    assert together == ["user:bea"] * 30
    for _ in range(5):
        assert await who(users, "Bea", PASSWORD) == "user:bea"
        assert await who(users, "bea", "wrong") == ""
    assert cost_counter["checks"] == 2
    configured.clock.advance(KEPT_S + 1)
    assert await who(users, "bea", PASSWORD) == "user:bea"
    assert cost_counter["checks"] == 3


async def test_one_who_hangs_up_does_not_spoil_the_check_for_others(
    configured: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = configured(User(username="bea", password=hashed(PASSWORD), actions=READ))
    go = hold_checks(monkeypatch)
    first = asyncio.create_task(who(users, "bea", PASSWORD))
    second = asyncio.create_task(who(users, "bea", PASSWORD))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await second == "user:bea"
    assert first.cancelled()


def hold_checks(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    go, check = threading.Event(), hashes.matches

    def held(password: str, stored: str, cost: int) -> bool:
        assert go.wait(30)
        return check(password, stored, cost)

    monkeypatch.setattr(authenticator, "matches", held)
    return go


async def test_no_more_passwords_wait_than_can_be_checked_soon(
    configured: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = configured(User(username="bea", password=hashed(PASSWORD), actions=READ), KEY)
    go = hold_checks(monkeypatch)
    waiting = [asyncio.create_task(who(users, "bea", f"guess {i}")) for i in range(authenticator.WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceUnavailable):
        await who(users, "bea", PASSWORD)
    # Keys go on.
    assert await users.authenticate(Bearer("k" * 24)) is not None
    go.set()
    assert set(await asyncio.gather(*waiting)) == {""}
    assert await who(users, "bea", PASSWORD) == "user:bea"


async def test_guesses_at_the_same_time_are_limited_like_guesses_one_by_one(
    configured: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = configured(User(username="bea", password=hashed(PASSWORD), actions=READ))
    sockets = TrustedSockets(enabled=False)
    access = Access([users], sockets, clock=configured.clock)
    go = hold_checks(monkeypatch)

    async def ask(password: str) -> type[BaseException] | None:
        text = base64.b64encode(f"bea:{password}".encode()).decode()
        try:
            await access.identify({"Authorization": f"Basic {text}"}, None)
        except (Unauthorized, TooManyGuesses) as error:
            return type(error)
        return None

    same = [asyncio.create_task(ask(PASSWORD)) for _ in range(2 * GUESSES)]
    tries = [asyncio.create_task(ask(f"guess {i}")) for i in range(3 * GUESSES)]
    await asyncio.sleep(0)
    go.set()
    outcomes = await asyncio.gather(*tries)
    assert await asyncio.gather(*same) == [None] * 2 * GUESSES
    assert outcomes.count(Unauthorized) == GUESSES - 1
    assert outcomes.count(TooManyGuesses) == 2 * GUESSES + 1
    sockets.close()


def test_wrong_credentials_do_not_push_out_right_ones() -> None:
    verdicts = Verdicts(ManualClock())
    right = verdicts.name_of("bea", PASSWORD)
    verdicts.keep(right, True)
    for number in range(3 * KEPT):
        verdicts.keep(verdicts.name_of("bea", f"guess {number}"), False)
    assert verdicts.get(right) is True
    assert verdicts.get(verdicts.name_of("bea", "guess 0")) is None
    assert verdicts.name_of("be", "a" + PASSWORD) != right
    assert PASSWORD.encode() not in b"".join(verdicts._kept[True])
