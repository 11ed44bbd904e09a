from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls.pairs import Pair, load
from tests.tls.files import expired_pair, write_pair


def test_a_good_pair_is_loaded_also_from_one_file(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    assert isinstance(load(pair).context, ssl.SSLContext)
    both = tmp_path / "both.pem"
    both.touch(mode=0o600)
    both.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
    assert load(Pair(both, both)).ends_ns == load(pair).ends_ns


def test_an_expired_certificate_is_loaded_and_says_when_it_ended(tmp_path: Path) -> None:
    loaded = load(expired_pair(tmp_path))
    assert loaded.starts_ns < loaded.ends_ns
    assert loaded.ends_ns < tmp_path.stat().st_mtime_ns


def missing(pair: Pair) -> None:
    pair.certificate.unlink()


def missing_key(pair: Pair) -> None:
    pair.key.unlink()


def directory(pair: Pair) -> None:
    pair.certificate.unlink()
    pair.certificate.mkdir()


def pipe(pair: Pair) -> None:
    pair.certificate.unlink()
    os.mkfifo(pair.certificate)


def no_certificate(pair: Pair) -> None:
    pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")


def empty(pair: Pair) -> None:
    pair.certificate.write_text("")


def no_key(pair: Pair) -> None:
    pair.key.write_text("no key")


def large(pair: Pair) -> None:
    with pair.certificate.open("ab") as file:
        file.truncate(2_000_000)


def exchanged(pair: Pair) -> None:
    pair.key.write_bytes(write_pair(pair.key.parent, name="other").key.read_bytes())


def chain_first(pair: Pair) -> None:
    other = write_pair(pair.key.parent, name="other")
    pair.certificate.write_bytes(other.certificate.read_bytes() + pair.certificate.read_bytes())


def encrypted(pair: Pair) -> None:
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def readable(pair: Pair) -> None:
    pair.key.chmod(0o644)


def public_key_only(pair: Pair) -> None:
    public = rsa.generate_private_key(65537, 2048).public_key()
    pair.key.write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.mark.parametrize(
    ("damage", "problem", "hint"),
    [
        (missing, "API.TLS.CertFile: {cert} can't be read: No such file", ""),
        (missing_key, "API.TLS.KeyFile: {key} can't be read: No such file", ""),
        (directory, "API.TLS.CertFile: {cert} is not a file", ""),
        (pipe, "API.TLS.CertFile: {cert} is not a file", ""),
        (no_certificate, "API.TLS.CertFile: {cert} holds no certificate", "PEM"),
        (empty, "API.TLS.CertFile: {cert} holds no certificate", "PEM"),
        (large, "API.TLS.CertFile: {cert} is too large", ""),
        (no_key, "API.TLS.KeyFile: {key} holds no private key", "PEM"),
        (public_key_only, "API.TLS.KeyFile: {key} holds no private key", "PEM"),
        (encrypted, "API.TLS.KeyFile: {key} is encrypted", "openssl pkey"),
        (exchanged, "the certificate {cert} does not belong to the key {key}", "same issue"),
        (chain_first, "the certificate {cert} does not belong to the key {key}", "comes first"),
        (readable, "can be read by other users", "chmod 600 {key}"),
    ],
)
def test_what_can_t_be_served_is_refused_with_one_sentence(
    tmp_path: Path, damage: Callable[[Pair], None], problem: str, hint: str
) -> None:
    pair = write_pair(tmp_path)
    damage(pair)
    with pytest.raises(ConfigurationError) as caught:
        load(pair)
    names = {"cert": pair.certificate, "key": pair.key}
    assert problem.format(**names) in caught.value.message
    assert hint.format(**names) in caught.value.hint
    assert "\n" not in caught.value.message


def test_a_key_is_judged_by_the_file_that_a_link_leads_to(tmp_path: Path) -> None:
    pair = write_pair(tmp_path)
    link = tmp_path / "link.key"
    link.symlink_to(pair.key)
    load(Pair(pair.certificate, link))
    pair.key.chmod(0o604)
    with pytest.raises(ConfigurationError, match="can be read by other users"):
        load(Pair(pair.certificate, link))


def test_a_mark_changes_with_content_rights_and_where_a_link_leads(tmp_path: Path) -> None:
    first, second = write_pair(tmp_path), write_pair(tmp_path, name="second")
    link = tmp_path / "live.pem"
    link.symlink_to(first.certificate)
    pair = Pair(link, first.key)
    marks = [pair.mark()]
    link.unlink()
    link.symlink_to(second.certificate)
    marks.append(pair.mark())
    first.key.chmod(0o400)
    marks.append(pair.mark())
    first.key.unlink()
    marks.append(pair.mark())
    assert len(set(marks)) == 4
    assert pair.mark() == marks[-1]


def test_other_rights_are_noticed_within_one_step_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, status_of = write_pair(tmp_path), Path.stat

    def without_times(path: Path) -> os.stat_result:
        return os.stat_result((*status_of(path)[:7], 0, 0, 0))

    monkeypatch.setattr(Path, "stat", without_times)
    before = pair.mark()
    pair.key.chmod(0o400)
    assert pair.mark() != before
