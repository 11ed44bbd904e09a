"""Tokens and TLS: each way in which a server and an end do not fit together is one sentence, and nothing leaks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlparse

import pytest
import trustme

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.compute import NatsComputeEnd
from bacalhau_jupyter.transport.nats.faults import GreetedFirst
from bacalhau_jupyter.transport.nats.nats_py import Transport
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from tests.services.nats import PlainNatsServer
from tests.services.waiting import until
from tests.transport.carriers import nats_settings, no_logs, nothing

SECRET = "s3cret-of-n"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def leaf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("leaf") / "leaf.pem"


@pytest.fixture(scope="module")
def tls_settings(
    authority: trustme.CA, leaf_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    directory = tmp_path_factory.mktemp("certificates")
    issued = authority.issue_cert("127.0.0.1", "cluster.example")
    issued.private_key_and_cert_chain_pem.write_to_path(str(directory / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(leaf_file))
    return {"cert_file": str(leaf_file), "key_file": str(directory / "key.pem"), "timeout": 20}


@pytest.fixture(scope="module")
def tls_server(
    nats_server_program: Path, tls_settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PlainNatsServer]:
    """A server that asks for TLS after its greeting, as official ones do."""
    running = PlainNatsServer(tmp_path_factory.mktemp("nats-tls"), nats_server_program, {"tls": tls_settings})
    yield running
    running.close()


@pytest.fixture(scope="module")
def tls_first_server(
    nats_server_program: Path, tls_settings: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PlainNatsServer]:
    """A server that begins with TLS."""
    settings: dict[str, object] = {"tls": tls_settings | {"handshake_first": True}}
    running = PlainNatsServer(tmp_path_factory.mktemp("nats-first"), nats_server_program, settings)
    yield running
    running.close()


async def problem_of(settings: NatsSettings) -> DeliveryError | None:
    """Return why a node can't connect with these settings; None where it can."""
    end = NatsComputeEnd("n", settings, SystemClock())
    try:
        await end.connect("n", nothing, no_logs)
        return None
    except DeliveryError as error:
        assert error.message == end.state.reason
        return error
    finally:
        await end.close()


def settings_of(server: PlainNatsServer, **changes: object) -> NatsSettings:
    return replace(nats_settings(server.url, server.token, "n"), **changes)  # type: ignore[arg-type]


async def test_the_right_token_opens_and_no_or_a_wrong_one_is_told(nats_server: PlainNatsServer) -> None:
    assert await problem_of(settings_of(nats_server)) is None
    missing = await problem_of(settings_of(nats_server, token=""))
    assert missing is not None
    assert missing.message == f"the NATS server at {nats_server.url} asks for a token"
    assert "Compute.Auth.Token" in missing.hint
    wrong = await problem_of(settings_of(nats_server, token="wrong-one"))
    assert wrong is not None
    assert wrong.message == f"the NATS server at {nats_server.url} refused the token, or the node ID n"
    assert wrong.code == missing.code == "Unauthorized"
    assert "wrong-one" not in repr(wrong) + wrong.hint


async def test_an_identity_goes_beside_the_token(own_nats_server: PlainNatsServer) -> None:
    """What is sent when connecting is read by a server that only listens."""
    connects: list[dict[str, object]] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","auth_required":true,"max_payload":1000}\r\n')
        connects.append(json.loads((await reader.readline()).removeprefix(b"CONNECT ")))
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    problem = await problem_of(
        replace(settings_of(own_nats_server), servers=(url,), user="n", password=SECRET)
    )
    listening.close()
    await listening.wait_closed()
    assert problem is not None
    assert problem.message == f"the NATS server at {url} hung up"
    sent = connects[0]
    assert (sent["user"], sent["pass"], sent["auth_token"]) == ("n", SECRET, own_nats_server.token)
    assert sent["name"] == "n"


@pytest.mark.parametrize("tls", [{"require_tls": True}, {"ca_file": "yes"}, {"scheme": "tls"}])
async def test_nothing_is_sent_to_a_server_without_tls_where_tls_is_asked_for(
    tls: dict[str, object], ca_file: Path
) -> None:
    received: list[bytes] = []

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","auth_required":true,"max_payload":1000}\r\n')
        received.append(await reader.read(1 << 16))
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    settings = replace(
        nats_settings(f"{tls.get('scheme', 'nats')}://{address}", "the-token", "n"),
        require_tls=bool(tls.get("require_tls")),
        ca_file=ca_file if "ca_file" in tls else None,
    )
    problem = await problem_of(settings)
    plain = await problem_of(
        replace(settings, servers=(f"nats://{address}",), require_tls=False, ca_file=None)
    )
    # The server may see the end of a connection, or what came before it, later than the client does.
    await until(lambda: len(received) >= 2)
    listening.close()
    await listening.wait_closed()
    assert problem is not None
    assert problem.message.endswith("offers no TLS, so nothing was sent to it")
    assert plain is not None
    # The control: without the setting, the token is sent.
    assert received[0] == b""
    assert b"the-token" in received[1]


async def test_a_server_that_spoke_tls_gets_nothing_in_plain_text_when_it_comes_back_without(
    nats_server_program: Path,
    tls_settings: dict[str, object],
    ca_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system's authorities decide, and nothing in the settings asks for TLS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    genuine = PlainNatsServer(tmp_path, nats_server_program, {"tls": tls_settings})
    received: list[bytes] = []

    async def pretender(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","auth_required":true,"max_payload":1000}\r\n')
        received.append(await reader.read(1 << 16))
        writer.close()

    end = NatsComputeEnd("n", settings_of(genuine, reconnect_limit_s=0.5), SystemClock())
    await end.connect("n", nothing, no_logs)
    genuine.close()
    await until(lambda: not end.state.is_up)
    listening = await asyncio.start_server(pretender, "127.0.0.1", genuine.port)
    await until(lambda: bool(received))
    assert received[0] == b""
    await until(lambda: end.state.reason.endswith("offers no TLS, so nothing was sent to it"))
    # The control: one that never met the genuine server sends the token.
    await problem_of(settings_of(genuine))
    await until(lambda: any(genuine.token.encode() in each for each in received))
    await end.close()
    listening.close()
    await listening.wait_closed()


async def test_an_expired_certificate_is_not_trusted_however_it_is_pinned(
    nats_server_program: Path, authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    expired = authority.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC))
    leaf_file = tmp_path / "expired.pem"
    expired.cert_chain_pems[0].write_to_path(str(leaf_file))
    expired.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    tls = {"cert_file": str(leaf_file), "key_file": str(tmp_path / "key.pem"), "timeout": 20}
    server = PlainNatsServer(tmp_path, nats_server_program, {"tls": tls})
    for file in (ca_file, leaf_file):
        problem = await problem_of(settings_of(server, ca_file=file))
        assert problem is not None
        assert "certificate has expired" in problem.message
    server.close()


@pytest.mark.parametrize("start", [b"MSG a 1 99999999999\r\n", b""])
async def test_a_server_that_sends_without_end_fills_no_memory(start: bytes) -> None:
    sent = 0

    async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1000}\r\n')
        with contextlib.suppress(ConnectionError):
            while not (await reader.readline()).startswith(b"PING"):
                pass
            writer.write(b"PONG\r\n" + start)
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        writer.close()

    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    # Nothing but its patience ends such an attempt.
    problem = await problem_of(replace(nats_settings(url, "", "n"), connect_timeout_s=5.0))
    listening.close()
    await listening.wait_closed()
    assert problem is not None
    # What is in buffers of the system, and the first pieces.
    assert sent < 32 << 20


async def test_a_server_with_tls_is_trusted_by_its_authority_or_by_its_own_certificate(
    tls_server: PlainNatsServer, ca_file: Path, leaf_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for file in (ca_file, leaf_file):
        assert await problem_of(settings_of(tls_server, ca_file=file)) is None
        assert await problem_of(settings_of(tls_server, ca_file=file, tls_name="cluster.example")) is None
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_certificate_that_nobody_here_knows_is_not_trusted(
    tls_server: PlainNatsServer, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    for changes in ({"ca_file": other}, {}):
        problem = await problem_of(settings_of(tls_server, **changes))
        assert problem is not None
        assert problem.message.startswith(
            f"the certificate of the NATS server at {tls_server.url} can't be trusted: "
        )
        assert "Compute.TLS.CACert" in problem.hint


async def test_a_certificate_for_another_name_is_not_trusted(
    tls_server: PlainNatsServer, ca_file: Path
) -> None:
    problem = await problem_of(settings_of(tls_server, ca_file=ca_file, tls_name="elsewhere.example"))
    assert problem is not None
    assert "elsewhere.example" in problem.message


async def test_a_server_that_begins_with_tls_and_a_client_that_does_not_are_told_apart(
    tls_server: PlainNatsServer,
    tls_first_server: PlainNatsServer,
    nats_server: PlainNatsServer,
    ca_file: Path,
) -> None:
    first = {"ca_file": ca_file, "tls_first": True}
    assert await problem_of(settings_of(tls_first_server, **first)) is None
    silent = await problem_of(settings_of(tls_first_server, ca_file=ca_file, connect_timeout_s=1.0))
    assert silent is not None
    assert silent.message == f"the NATS server at {tls_first_server.url} did not answer within 1s"
    assert "RequireTLS=true" in silent.hint
    for server in (tls_server, nats_server):
        problem = await problem_of(settings_of(server, **first))
        assert problem is not None
        assert problem.message.startswith(f"no TLS connection to the NATS server at {server.url}: ")
        assert "RequireTLS=false" in problem.hint


async def test_a_greeting_that_comes_before_tls_begins_is_seen(
    tls_server: PlainNatsServer, nats_server: PlainNatsServer, ca_file: Path
) -> None:
    """On a busy machine the server is faster than this end, whose TLS would then wait for what it has missed."""
    context = ssl.create_default_context(cafile=str(ca_file))
    for server in (tls_server, nats_server):
        transport = Transport()
        await transport.connect(urlparse(server.url), buffer_size=4096, connect_timeout=30)
        await until(lambda transport=transport: bool(transport.said))  # type: ignore[misc]
        with pytest.raises(GreetedFirst):
            await transport.connect_tls(urlparse(server.url), context, buffer_size=4096, connect_timeout=30)
        transport.abort()


async def test_a_file_of_authorities_that_is_none_is_told(
    nats_server: PlainNatsServer, tmp_path: Path
) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    for name in ("missing.pem", "junk.pem"):
        problem = await problem_of(settings_of(nats_server, ca_file=tmp_path / name))
        assert problem is not None
        assert f"{name} can't be used" in problem.message
        assert problem.code == "ConfigurationError"


async def test_an_unknown_name_and_a_stranger_are_told(nats_server: PlainNatsServer) -> None:
    unknown = await problem_of(settings_of(nats_server, servers=("nats://no-such-host.invalid:4222",)))
    assert unknown is not None
    assert unknown.message.startswith(
        "the name of the NATS server at nats://no-such-host.invalid:4222 is not known"
    )

    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listening = await asyncio.start_server(web, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    stranger = await problem_of(settings_of(nats_server, servers=(url,)))
    listening.close()
    await listening.wait_closed()
    assert stranger is not None
    assert stranger.message == f"the NATS server at {url} hung up"
    assert "not that of the API" in stranger.hint


async def test_a_server_that_answers_a_handshake_in_plain_text_is_told_in_words() -> None:
    async def greets_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # The greeting comes when the other end has begun with TLS: what a busy server does.
        await reader.read(1)
        writer.write(b'INFO {"server_id":"late","max_payload":1048576}\r\n')
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(greets_late, "127.0.0.1", 0)
    url = f"tls://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    problem = await problem_of(NatsSettings((url,), "n", "", require_tls=True, tls_first=True))
    listening.close()
    await listening.wait_closed()
    assert problem is not None
    assert problem.message == f"no TLS connection to the NATS server at {url}: it begins in plain text"
    assert "Compute.TLS.RequireTLS=false" in problem.hint


@pytest.mark.parametrize("tls", ["none", "after the greeting", "first"])
async def test_a_full_server_is_told(
    nats_server_program: Path, tls_settings: dict[str, object], ca_file: Path, tmp_path: Path, tls: str
) -> None:
    """Its sentence comes in plain text, also where TLS should begin."""
    more: dict[str, object] = (
        {} if tls == "none" else {"tls": tls_settings | {"handshake_first": tls == "first"}}
    )
    server = PlainNatsServer(tmp_path, nats_server_program, more | {"max_connections": 1})
    settings = settings_of(server, ca_file=None if tls == "none" else ca_file, tls_first=tls == "first")
    first = NatsComputeEnd("n1", replace(settings, name="n1"), SystemClock())
    # The look whether the server is there was a connection, too, and may still count.
    with contextlib.suppress(DeliveryError):
        await first.connect("n1", nothing, no_logs)
    await until(lambda: first.state.is_up)
    problem = await problem_of(settings)
    await first.close()
    server.close()
    assert problem is not None
    assert problem.message == f"the NATS server at {server.url} is full: it takes no more connections"


async def test_the_next_server_of_a_list_is_tried(nats_server: PlainNatsServer) -> None:
    settings = settings_of(nats_server, servers=("nats://127.0.0.1:1", nats_server.url))
    end = NatsComputeEnd("n", settings, SystemClock())
    await end.connect("n", nothing, no_logs)
    assert end.state.place == nats_server.url
    await end.close()


async def test_a_subscription_that_the_server_refuses_is_told(
    nats_server_program: Path, tmp_path: Path
) -> None:
    permissions = {"subscribe": {"allow": ["_INBOX.>"]}}
    user = {"user": "n", "password": SECRET, "permissions": permissions}
    server = PlainNatsServer(tmp_path, nats_server_program, {"authorization": {"users": [user]}})
    problem = await problem_of(
        settings_of(server, token="", user="n", password=SECRET, inbox_prefix="_INBOX")
    )
    server.close()
    assert problem is not None
    assert problem.message.startswith(f"the NATS server at {server.url} does not let n listen: ")
    assert problem.code == "Forbidden"


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("", "is not the address of a NATS server"),
        ("localhost", "is not the address of a NATS server"),
        ("http://localhost:1", "is not the address of a NATS server"),
        ("nats://", "is not the address of a NATS server"),
        ("nats://a b:1", "is not the address of a NATS server"),
        ("nats://h:99999", "is not the address of a NATS server"),
        ("nats://h:x", "is not the address of a NATS server"),
        ("nats://t0ken@h:1", "the NATS server at h holds a credential"),
        ("nats://u:t0ken@h:1", "the NATS server at h holds a credential"),
        ("nats://h:1/path", "has something after its port"),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        nats_settings(address, "", "n")
    assert sentence in caught.value.message
    assert "t0ken" not in caught.value.message


def test_settings_do_not_show_their_secrets() -> None:
    settings = replace(nats_settings("nats://h:1", "the-token", "n"), user="n", password=SECRET)
    assert "the-token" not in repr(settings)
    assert SECRET not in repr(settings)
