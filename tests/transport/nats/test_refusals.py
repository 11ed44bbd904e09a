"""What a server said before it hung up is told, also where it hung up while this end was sending."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.compute import NatsComputeEnd
from bacalhau_jupyter.transport.nats.faults import look, refusal_in
from bacalhau_jupyter.transport.nats.nats_py import OneServerClient
from tests.transport.carriers import nats_settings, no_logs, nothing

INFO = b'INFO {"server_id":"x","version":"2.11.0","auth_required":true,"max_payload":1000}\r\n'
FULL = b"-ERR 'maximum connections exceeded'\r\n"
RESET = struct.pack("ii", 1, 0)


class Refusing:
    """A server that greets, waits for a word of the test, says why it refuses, and is gone.

    Parameters
    ----------
    refusal
        What it says.
    resets
        Whether it resets the first connection, as a server does that has not read what it was sent.
    """

    def __init__(self, refusal: bytes, *, resets: bool) -> None:
        self.refusal = refusal
        self.resets = resets
        self.connections = 0
        self.may_refuse = threading.Event()
        self.has_refused = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"nats://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.may_refuse.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                with connection:
                    connection.sendall(INFO)
                    self.may_refuse.wait()
                    connection.sendall(self.refusal)
                    if self.resets and self.connections == 1:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.has_refused.set()


@contextlib.contextmanager
def refusing(refusal: bytes, monkeypatch: pytest.MonkeyPatch, *, resets: bool) -> Iterator[Refusing]:
    """Run such a server; it is gone after its greeting was read, and before anything is sent to it."""
    server = Refusing(refusal, resets=resets)
    original = OneServerClient._connect_command

    def late(self: OneServerClient) -> bytes:
        server.may_refuse.set()
        server.has_refused.wait()
        return original(self)

    monkeypatch.setattr(OneServerClient, "_connect_command", late)
    try:
        yield server
    finally:
        server.close()


async def problem_at(url: str) -> DeliveryError:
    end = NatsComputeEnd("n", nats_settings(url, "the-token", "n"), SystemClock())
    try:
        with pytest.raises(DeliveryError) as caught:
            await end.connect("n", nothing, no_logs)
        return caught.value
    finally:
        await end.close()


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (FULL, "the NATS server at {} is full: it takes no more connections"),
        (b"-ERR 'Authorization Violation'\r\n", "the NATS server at {} refused the token, or the node ID n"),
        (
            b"-ERR 'Authentication Timeout'\r\n",
            "the NATS server at {} did not decide in time whether n may come in",
        ),
    ],
)
async def test_a_server_that_closes_before_we_speak_is_understood(
    refusal: bytes, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first packet that meets the closed socket brings a reset, with the refusal still unread."""
    with refusing(refusal, monkeypatch, resets=False) as server:
        problem = await problem_at(server.url)
    assert problem.message == sentence.format(server.url)
    assert server.connections == 1


async def test_a_server_that_resets_before_we_speak_is_asked_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with refusing(FULL, monkeypatch, resets=True) as server:
        problem = await problem_at(server.url)
    assert problem.message == f"the NATS server at {server.url} is full: it takes no more connections"
    assert problem.code == "ResourceExhausted"


async def test_a_look_that_was_too_slow_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks sends nothing, so that a server ends the look for a reason that is not the reason of before."""
    with refusing(b"-ERR 'Authentication Timeout'\r\n", monkeypatch, resets=False) as server:
        server.may_refuse.set()
        assert await look(server.url) is None
    assert await look(server.url) is None


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        (b"", None),
        (INFO, None),
        (b'INFO {"server_name":"-ERR x"}\r\n', None),
        (INFO + FULL + b"more", "'maximum connections exceeded'"),
        (b"-ERR", None),
        (b"-ERR 'cut o", "'cut o"),
        (b"-ERR \x1b[31m'red'\xff\r\n", "[31m'red'\N{REPLACEMENT CHARACTER}"),
        (b"-ERR " + b"x" * 5000 + b"\r\n", "x" * 300),
    ],
)
def test_a_refusal_is_one_bounded_line_of_text(said: bytes, refusal: str | None) -> None:
    error = refusal_in(said)
    assert (None if error is None else str(error)) == refusal
