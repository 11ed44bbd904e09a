"""The node's own authority: what it issues, when it issues again, and who accepts it."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest
from cryptography import x509

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls.names import names_of_host
from bacalhau_jupyter.tls.own_ca import LEAF_DAYS, OwnAuthority
from bacalhau_jupyter.tls.pairs import load
from tests.clock import ManualClock

NAMES = ("localhost", "127.0.0.1", "::1", "node.example")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def made(directory: Path, clock: ManualClock, names: tuple[str, ...] = NAMES) -> OwnAuthority:
    return OwnAuthority(directory / "tls", names, "n-test", clock)


def issued(authority: OwnAuthority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.pair().certificate.read_bytes())


def test_keys_are_the_owners_and_the_certificate_has_every_name(tmp_path: Path, clock: ManualClock) -> None:
    authority = made(tmp_path, clock)
    names = issued(authority).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "node.example"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o600, "node.pem": 0o600}
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_the_certificate_is_kept_until_two_thirds_of_its_time_are_over(
    tmp_path: Path, clock: ManualClock
) -> None:
    first = issued(made(tmp_path, clock))
    ca = made(tmp_path, clock).ca_file.read_bytes()
    clock.advance(LEAF_DAYS * 2 / 3 * 86400 - 2 * 3600)
    assert issued(made(tmp_path, clock)) == first
    clock.advance(4 * 3600)
    again = issued(made(tmp_path, clock))
    assert again != first
    assert made(tmp_path, clock).ca_file.read_bytes() == ca, "clients keep the file that they have"


def test_other_names_and_a_damaged_file_get_a_new_certificate_of_the_same_authority(
    tmp_path: Path, clock: ManualClock
) -> None:
    first = issued(made(tmp_path, clock))
    ca = made(tmp_path, clock).ca_file.read_bytes()
    second = issued(made(tmp_path, clock, (*NAMES, "10.0.0.7")))
    assert second != first
    for damage in (b"", b"no", ca, load_bytes(tmp_path)[:900]):
        (tmp_path / "tls/node.pem").write_bytes(damage)
        repaired = issued(made(tmp_path, clock))
        load(made(tmp_path, clock).pair())
        assert repaired.issuer == first.issuer
    assert made(tmp_path, clock).ca_file.read_bytes() == ca


def load_bytes(directory: Path) -> bytes:
    return (directory / "tls/node.pem").read_bytes()


def test_the_certificate_of_another_authority_is_replaced(tmp_path: Path, clock: ManualClock) -> None:
    other = made(tmp_path / "other", clock)
    (tmp_path / "other").mkdir()
    foreign = other.pair().certificate.read_bytes()
    authority = made(tmp_path, clock)
    authority.pair()
    (tmp_path / "tls/node.pem").write_bytes(foreign)
    issued(authority).verify_directly_issued_by(
        x509.load_pem_x509_certificate(authority.ca_file.read_bytes())
    )


@pytest.mark.parametrize("name", ["ca.pem", "ca.key"])
def test_a_damaged_authority_is_never_replaced_in_silence(
    tmp_path: Path, clock: ManualClock, name: str
) -> None:
    made(tmp_path, clock).pair()
    (tmp_path / "tls" / name).write_text("no")
    with pytest.raises(ConfigurationError, match="the node's own authority is damaged") as caught:
        made(tmp_path, clock).pair()
    assert "ca.pem" in caught.value.hint


def test_a_crash_between_the_authority_s_two_files_leaves_nothing_that_is_trusted(
    tmp_path: Path, clock: ManualClock
) -> None:
    made(tmp_path, clock).pair()
    (tmp_path / "tls/ca.pem").unlink()
    load(made(tmp_path, clock).pair())


def test_an_authority_at_its_end_is_replaced_and_never_outlived(tmp_path: Path, clock: ManualClock) -> None:
    authority = made(tmp_path, clock)
    authority.pair()
    first = x509.load_pem_x509_certificate(authority.ca_file.read_bytes())
    clock.advance(3500 * 86400)
    assert issued(authority).not_valid_after_utc <= first.not_valid_after_utc
    clock.advance(125 * 86400)
    authority.pair()
    assert x509.load_pem_x509_certificate(authority.ca_file.read_bytes()) != first


def test_the_names_are_loopback_s_this_host_s_and_the_configured_ones() -> None:
    names = names_of_host(["[::1]", "Node.Example.org.", "192.168.1.9", "no name", "*.example.org", ""])
    assert names[:3] == ("localhost", "127.0.0.1", "::1")
    assert {"node.example.org", "192.168.1.9", socket.gethostname().lower()} <= set(names)
    assert not {"no name", "*.example.org", ""} & set(names)
    assert len(set(names)) == len(names)
    assert set(names_of_host(["127.0.0.1"])) <= set(names_of_host(["0.0.0.0"]))
    assert "0.0.0.0" not in names_of_host(["0.0.0.0", "::"])
