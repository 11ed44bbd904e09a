"""Certificates of a real ACME server, which refuses every fifth good nonce."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import ConfigurationError, NetworkFailure
from bacalhau_jupyter.tls.acme.account import Account, key_pem, new_key
from bacalhau_jupyter.tls.acme.autocert import AutoCert
from bacalhau_jupyter.tls.acme.bundle import Bundle
from bacalhau_jupyter.tls.acme.challenges import TlsAlpnAnswers
from bacalhau_jupyter.tls.acme.orders import Wish, chosen_profile, obtain
from bacalhau_jupyter.tls.acme.server import AcmeServer, Refusal
from tests.services.fixtures import service_or_skip
from tests.services.pebble import LIFETIMES_S, Pebble
from tests.tls.acme.validated import answering, settings_for

CLOCK = SystemClock()


def autocert(pebble: Pebble, directory: Path, names: str, **keys: object) -> AutoCert:
    return AutoCert(settings_for(pebble, directory, names, **keys), clock=CLOCK, problems=Problems(CLOCK))


async def ordered(pebble: Pebble, directory: Path, names: str, **keys: object) -> Bundle:
    """Order with the answers on the port that the server asks."""
    node = autocert(pebble, directory, names, **keys)
    async with answering(pebble.tls_port, node.challenge):
        return await node.order()


@pytest.fixture(scope="module")
def stubborn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pebble]:
    """A server that takes four nonces of ten, remembers proofs, and says by a date when to ask again."""
    directory = tmp_path_factory.mktemp("stubborn")
    variables = {"PEBBLE_WFE_NONCEREJECT": "60", "PEBBLE_AUTHZREUSE": "100"}
    running = service_or_skip(lambda: Pebble(directory, variables))
    yield running
    running.close()


@pytest.mark.parametrize("challenge", ["tls-alpn-01", "http-01"])
@pytest.mark.parametrize("names", ["node.example.org,127.0.0.1", "127.0.0.1"])
async def test_names_and_addresses_are_proven_and_certified(
    pebble: Pebble, tmp_path: Path, challenge: str, names: str
) -> None:
    bundle = await ordered(pebble, tmp_path, names, Challenge=challenge)
    assert bundle.names == set(names.split(","))
    assert await _greeted(bundle, pebble.root_file, host := min(bundle.names)) == host


async def _greeted(bundle: Bundle, root: Path, host: str) -> str:
    """Shake hands with a client that trusts the server's root only; return the host that it has verified."""
    server = await asyncio.start_server(
        lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=bundle.context()
    )
    async with server:
        client = ssl.create_default_context(cafile=root)
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=host)
        writer.close()
    return host


async def test_many_bad_nonces_and_remembered_proofs_are_no_obstacle(
    stubborn: Pebble, tmp_path: Path
) -> None:
    account = Account(new_key())
    authority = ssl.create_default_context(cafile=stubborn.ca_file)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=authority)) as session:
        server = AcmeServer(session, stubborn.directory_url, account, clock=CLOCK)
        await server.open("ops@example.org")
        answers = TlsAlpnAnswers()
        async with answering(stubborn.tls_port, answers.context) as validations:
            await obtain(server, Wish(names=("one.example.org",)), answers, clock=CLOCK)
        assert "one.example.org" in validations
        # Nothing listens now: the proof of a minute ago must do.
        again = await obtain(server, Wish(names=("one.example.org",)), answers, clock=CLOCK)
        assert again.names == {"one.example.org"}
        # Which ones the server takes is chance: some runs would have met few bad ones so far.
        while server.rejected_nonces <= 5:
            await server.open()


@pytest.mark.parametrize(
    ("profile", "lifetime_s"), [("", LIFETIMES_S["default"]), ("short", LIFETIMES_S["short"])]
)
async def test_the_profile_is_named_in_the_order(
    pebble: Pebble, tmp_path: Path, profile: str, lifetime_s: int
) -> None:
    bundle = await ordered(pebble, tmp_path, "p.example.org", Profile=profile, Challenge="http-01")
    assert abs((bundle.ends_ns - bundle.starts_ns) / 1e9 - lifetime_s) <= 1


def test_without_a_wish_the_usual_profile_is_chosen() -> None:
    name, address = Wish(names=("a.example.org",)), Wish(names=("a.example.org", "192.0.2.1"))
    public = ("classic", "shortlived", "tlsserver")
    assert chosen_profile(name, public) == "classic"
    assert chosen_profile(address, public) == "shortlived"
    assert chosen_profile(address, ("classic",)) == "classic"
    assert chosen_profile(name, ("only",)) == "only"
    assert chosen_profile(name, ()) == ""
    with pytest.raises(ConfigurationError, match="no profile 'x', only: classic, shortlived, tlsserver"):
        chosen_profile(Wish(names=("a.example.org",), profile="x"), public)


async def test_a_name_that_leads_elsewhere_is_an_error_with_the_reason(
    pebble: Pebble, tmp_path: Path
) -> None:
    node = autocert(pebble, tmp_path, "else.example.org")
    with pytest.raises(
        Refusal, match=r"else\.example\.org could not be validated: Failed to connect"
    ) as caught:
        await node.order()
    assert caught.value.hint
    assert node.challenge("else.example.org") is None


async def test_an_answer_with_another_account_is_not_taken(pebble: Pebble, tmp_path: Path) -> None:
    """The control: without the right digest the server refuses, so the tests above prove something."""
    other = TlsAlpnAnswers()
    other.put("wrong.example.org", "token", "not what was asked")
    node = autocert(pebble, tmp_path, "wrong.example.org")
    async with answering(pebble.tls_port, other.context):
        with pytest.raises(Refusal, match="could not be validated"):
            await node.order()


async def test_an_account_is_made_once_and_found_again(pebble: Pebble) -> None:
    pem, places = key_pem(new_key()), []
    authority = ssl.create_default_context(cafile=pebble.ca_file)
    for _ in range(2):
        account = Account.of_pem(pem, "a file")
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=authority)) as session:
            await AcmeServer(session, pebble.directory_url, account, clock=CLOCK).open()
        places.append(account.url)
    assert places[0] == places[1] != ""


@pytest.mark.parametrize("path", ["/nothing", "/roots/0"])
async def test_another_address_than_a_directory_is_an_error_that_names_it(
    pebble: Pebble, tmp_path: Path, path: str
) -> None:
    url = pebble.directory_url.removesuffix("/dir") + path
    with pytest.raises(NetworkFailure) as caught:
        await autocert(pebble, tmp_path, "n.example.org", Directory=url).order()
    assert "127.0.0.1" in caught.value.message


async def test_a_server_with_an_unknown_certificate_is_an_error_with_the_key_to_set(
    pebble: Pebble, tmp_path: Path
) -> None:
    node = autocert(pebble, tmp_path, "n.example.org", CAFile=str(pebble.root_file))
    with pytest.raises(NetworkFailure, match="can't be verified") as caught:
        await node.order()
    assert "API.TLS.AutoCertCAFile" in caught.value.hint


async def test_a_server_that_is_down_is_an_error(pebble: Pebble, tmp_path: Path) -> None:
    node = autocert(pebble, tmp_path, "n.example.org", Directory=f"https://127.0.0.1:{pebble.tls_port}/dir")
    with pytest.raises(NetworkFailure, match="can't be reached"):
        await node.order()


async def test_a_taken_port_for_http_01_is_an_error_with_the_key_to_set(
    pebble: Pebble, tmp_path: Path
) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", pebble.http_port)
    async with server:
        with pytest.raises(NetworkFailure, match=f"port {pebble.http_port}") as caught:
            await autocert(pebble, tmp_path, "n.example.org", Challenge="http-01").order()
    assert "API.TLS.AutoCertHTTPPort" in caught.value.hint


def test_the_key_of_the_account_is_in_no_text(tmp_path: Path) -> None:
    key = new_key()
    assert "PRIVATE" in key_pem(key)
    assert "PRIVATE" not in repr(Account(key)) + str(vars(Account(key)))
