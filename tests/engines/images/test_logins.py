"""No login leaves this machine in clear text, and none goes around the proxy."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.transfer.core.reach import Reach
from tests.engines.images.building import Shelf, build, file, layer, serving

ELSEWHERE = "203.0.113.7"
IMAGE = build(layer(file("a")))


@contextlib.contextmanager
def listening(answer: bytes, port: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Give the same answer to all who connect; yield the port, and what each sent first."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", port))

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    heard.append(connection.recv(65536))
                    connection.sendall(answer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield listener.getsockname()[1], heard
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.fixture
async def far(tmp_path: Path, home: Path) -> AsyncIterator[Images]:
    """A store that may ask a server of tokens elsewhere."""
    reach = Reach(("127.0.0.1", ELSEWHERE))
    images = Images(tmp_path / "i", reach=reach, env={}, home=home, timeout_s=60.0)
    await images.open()
    yield images
    await images.close()


async def test_a_registry_that_did_not_answer_may_speak_tls_later(
    store: Images, unused_tcp_port: int
) -> None:
    for _ in range(2):
        with pytest.raises(EngineError, match="image not available"):
            await store.find(f"127.0.0.1:{unused_tcp_port}/x")
    alert = b"\x15\x03\x03\x00\x02\x02\x28"  # handshake failure
    for answer in (alert, b""):
        with listening(answer, unused_tcp_port) as (port, heard):
            with pytest.raises(EngineError, match="image not available"):
                await store.find(f"127.0.0.1:{port}/x")
            assert heard and all(first.startswith(b"\x16") for first in heard)


async def test_a_registry_that_changes_to_tls_is_asked_with_tls(store: Images, unused_tcp_port: int) -> None:
    with serving(unused_tcp_port) as shelf:
        await store.find(shelf.put(IMAGE))

    with (
        listening(b"", unused_tcp_port) as (_, heard),
        pytest.raises(EngineError, match="image not available"),
    ):
        await store.find(f"{shelf.address}/other")

    assert heard[0].startswith(b"GET") and len(heard) > 1
    assert all(first.startswith(b"\x16") for first in heard[1:])


@pytest.mark.parametrize("login", ["", "ali:open sesame"])
async def test_a_token_is_not_fetched_elsewhere_without_tls(login: str, far: Images, shelf: Shelf) -> None:
    reference = shelf.put(IMAGE)
    shelf.token, shelf.realm, shelf.login = "t0ken", f"http://{ELSEWHERE}/token", login

    with pytest.raises(EngineError) as refused:
        await far.find(reference)

    assert "wants a token that is fetched without TLS" in refused.value.hint


@pytest.mark.parametrize("realm", ["http://[", "https://a b/", "ftp://127.0.0.1/", "", "/token", "https://"])
async def test_a_realm_that_is_no_url_is_told(realm: str, store: Images, shelf: Shelf) -> None:
    reference = shelf.put(IMAGE)
    shelf.token, shelf.realm = "t0ken", realm

    with pytest.raises(EngineError) as refused:
        await store.find(reference)

    assert "a server of tokens that can't be asked" in refused.value.hint


async def test_a_login_by_token_goes_through_the_proxy(
    far: Images, shelf: Shelf, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".docker").mkdir()
    auths = {shelf.address: {"identitytoken": "secret"}}
    (home / ".docker/config.json").write_text(json.dumps({"auths": auths}))
    reference = shelf.put(IMAGE)
    shelf.token, shelf.realm = "t0ken", f"https://{ELSEWHERE}/token"
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)

    with listening(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") as (port, heard):
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
        with pytest.raises(EngineError, match="image not available"):
            await far.find(reference)

    assert heard and heard[0].startswith(f"CONNECT {ELSEWHERE}:443".encode())
