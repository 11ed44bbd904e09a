"""The folder of certificates: the official format, taken over and written, never open to others."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls.acme.account import Account, key_pem, new_key
from bacalhau_jupyter.tls.acme.autocert import AutoCert
from bacalhau_jupyter.tls.acme.bundle import Bundle
from bacalhau_jupyter.tls.acme.cache import Cache
from tests.services.fixtures import service_or_skip
from tests.services.pebble import OfficialFolder, Pebble
from tests.tls.acme.validated import answering, certificate, settings_for

HOST = "node.example.org"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def valid(*names: str) -> Bundle:
    return certificate(*names or (HOST,), starts_s=1_700_000_000, ends_s=1_710_000_000)


def test_files_have_the_official_names_and_form_and_are_private(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "new" / "cache")
    pem = cache.account_pem(lambda: key_pem(new_key()))
    cache.store(HOST, valid())
    files = sorted(path.name for path in cache.directory.iterdir())
    assert files == ["acme_account+key", HOST]
    assert mode(cache.directory) == 0o700
    assert {mode(cache.directory / name) for name in files} == {0o600}
    text = (cache.directory / HOST).read_text()
    assert text.startswith("-----BEGIN EC PRIVATE KEY-----\n")
    assert text.count("-----BEGIN CERTIFICATE-----\n") == 1
    assert pem.startswith("-----BEGIN EC PRIVATE KEY-----\n")
    assert cache.account_pem(lambda: "another") == pem
    assert cache.load(HOST) == Bundle.of_pem(text)


def served(bundle: Bundle) -> int:
    return x509.load_pem_x509_certificates(bundle.pem.encode())[0].serial_number


@pytest.fixture(scope="module")
def official() -> OfficialFolder:
    """Serves from a folder as official nodes do."""
    return service_or_skip(OfficialFolder)


async def test_the_folder_of_an_official_node_is_taken_over(
    pebble: Pebble, tmp_path: Path, official: OfficialFolder
) -> None:
    folder = tmp_path / "cache"
    number = await asyncio.to_thread(official.certificate, folder, HOST, pebble)
    account = (folder / "acme_account+key").read_bytes()
    loaded = Cache(folder).load(HOST)
    assert loaded is not None
    assert loaded.covers((HOST,))
    assert served(loaded) == number
    loaded.context()
    # The next order is one of the same account.
    node = AutoCert(settings_for(pebble, tmp_path, HOST), clock=SystemClock(), problems=Problems())
    async with answering(pebble.tls_port, node.challenge):
        await node.order()
    assert (folder / "acme_account+key").read_bytes() == account


async def test_an_official_node_takes_our_folder_over(
    pebble: Pebble, tmp_path: Path, official: OfficialFolder
) -> None:
    node = AutoCert(settings_for(pebble, tmp_path, HOST), clock=SystemClock(), problems=Problems())
    async with answering(pebble.tls_port, node.challenge):
        bundle = await node.order()
    cache = Cache(tmp_path / "cache")
    cache.store(HOST, bundle)
    assert await asyncio.to_thread(official.certificate, cache.directory, HOST) == served(bundle)


def test_a_chain_and_foreign_files_do_no_harm(tmp_path: Path) -> None:
    """Official nodes keep the proof of a name beside the certificate, too."""
    bundle, issuer = valid(), valid("issuer.example.org")
    chain = bundle.pem + issuer.pem[issuer.pem.index("-----BEGIN CERTIFICATE") :]
    (tmp_path / HOST).write_text(chain)
    (tmp_path / f"{HOST}+token").write_text(valid().pem)
    loaded = Cache(tmp_path).load(HOST)
    assert loaded is not None
    assert loaded.pem == chain


def test_keys_that_others_can_read_are_taken_away_from_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / HOST
    file.write_text(valid().pem)
    file.chmod(0o644)
    assert Cache(tmp_path).load(HOST) is not None
    assert mode(file) == 0o600
    assert "other users could read the key" in caplog.text


def _with_another_key() -> str:
    return key_pem(new_key()) + valid().pem[valid().pem.index("-----BEGIN CERTIFICATE") :]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n",
        key_pem(new_key()),
        valid().pem[valid().pem.index("-----BEGIN CERTIFICATE") :],
        _with_another_key(),
        valid().pem[:-40],
        valid().pem.replace("M", "\u00fc"),
    ],
    ids=["empty", "text", "empty-blocks", "key", "certificate", "mismatch", "cut", "not-ascii"],
)
def test_a_broken_file_is_left_alone_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / HOST).touch(0o600)
    (tmp_path / HOST).write_bytes(text.encode())
    with caplog.at_level(logging.WARNING):
        assert Cache(tmp_path).load(HOST) is None
    assert len(caplog.records) == 1
    assert (tmp_path / HOST).read_bytes() == text.encode()


def test_without_a_file_there_is_nothing_to_say(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Cache(tmp_path / "missing").load(HOST) is None
    assert not caplog.records


def _pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        _pem(rsa.generate_private_key(65537, 2048)),
        _pem(ec.generate_private_key(ec.SECP384R1())),
    ],
    ids=["empty", "text", "rsa", "p-384"],
)
def test_another_key_of_an_account_is_an_error_that_names_the_file(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"/cache/acme_account\+key holds no P-256 key"):
        Account.of_pem(text, "/cache/acme_account+key")


def test_a_key_in_the_other_form_is_read_too() -> None:
    Account.of_pem(_pem(new_key()), "a file")


def test_secrets_are_not_shown() -> None:
    assert "PRIVATE" not in repr(valid())
