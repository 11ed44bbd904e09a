"""``API.TLS.SelfSigned``: a small authority of the node's own, and the certificate that it issues to the node.

Clients get one file, the authority's certificate, and verify the node by it for ten years, however often the
node's certificate is renewed. Both keys stay in the data directory, readable by its owner only.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bacalhau_jupyter.config.files import io_explained, write_atomic
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.tls.names import general_name
from bacalhau_jupyter.tls.pairs import Pair, read_bounded

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

log = logging.getLogger(__name__)

AUTHORITY_DAYS, LEAF_DAYS = 3650, 397
"""Lifetimes; browsers accept no certificate of a server that is valid for longer than 397 days."""

_SKEW = datetime.timedelta(hours=1)
"""Clocks of clients may be late."""
_LAST_DAYS = datetime.timedelta(days=30)
_NAME_LIMIT = 64
_WHAT = "the node's own authority"


@dataclass(frozen=True)
class _Authority:
    key: EllipticCurvePrivateKey
    certificate: x509.Certificate


class OwnAuthority:
    """Makes and renews the node's certificate.

    Parameters
    ----------
    directory
        Where all of it lies (0700); created when it is needed.
    names
        Names and addresses of this host.
    node_id
        Names the authority, for people who look at what they trust.
    clock
        Says when something is old.
    leaf_name
        File name of the certificate and its key: the ports of a node may have different names.
    """

    def __init__(
        self,
        directory: Path,
        names: Sequence[str],
        node_id: str,
        clock: Clock,
        *,
        leaf_name: str = "node.pem",
    ) -> None:
        self._directory = directory
        self._names = tuple(names)
        self._node_id = node_id
        self._clock = clock
        self._key_file = directory / "ca.key"
        self._leaf_file = directory / leaf_name
        self.ca_file = directory / "ca.pem"

    def pair(self) -> Pair:
        """Return the node's certificate, made or renewed where it is due. Blocks.

        Raises
        ------
        ConfigurationError
            What lies there is damaged.
        IOFailure
            It can't be written.
        """
        authority = self._authority()
        if not self._is_good(authority):
            # One file, so that no crash leaves a certificate with another's key.
            write_atomic(self._leaf_file, self._leaf(authority))
            log.info("issued a certificate for %s", ", ".join(self._names))
        return Pair(self._leaf_file, self._leaf_file)

    def _now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._clock.now_ns() // SECOND, datetime.UTC)

    def _authority(self) -> _Authority:
        # The certificate is written last: without it, nobody can hold a copy.
        if not self.ca_file.exists():
            return self._establish()
        authority = self._read()
        if authority.certificate.not_valid_after_utc - self._now() > _LAST_DAYS:
            return authority
        log.warning("%s has expired, or will soon; clients need the new %s", _WHAT, self.ca_file)
        return self._establish()

    def _read(self) -> _Authority:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            certificate = x509.load_pem_x509_certificate(read_bounded(self.ca_file, _WHAT))
            key = load_pem_private_key(read_bounded(self._key_file, _WHAT), password=None)
            if isinstance(key, EllipticCurvePrivateKey) and key.public_key() == certificate.public_key():
                return _Authority(key, certificate)
        except (ValueError, TypeError):
            pass
        raise ConfigurationError(
            f"{_WHAT} is damaged: {self.ca_file} and {self._key_file} don't belong together",
            hint=f"Restore both, or remove {self._directory}: a new one is made, and its clients need the new ca.pem.",
        )

    def _establish(self) -> _Authority:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509.oid import NameOID

        with io_explained("can't create", self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        label = f"bacalhau-jupyter {self._node_id}".encode("ascii", "replace").decode()
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, label[:_NAME_LIMIT])])
        lifetime = datetime.timedelta(days=AUTHORITY_DAYS)
        builder = (
            self._dated(x509.CertificateBuilder(), lifetime)
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        authority = _Authority(key, builder.sign(key, hashes.SHA256()))
        write_atomic(self._key_file, _text(key))
        write_atomic(self.ca_file, authority.certificate.public_bytes(Encoding.PEM).decode())
        return authority

    def _is_good(self, authority: _Authority) -> bool:
        """Whether the node's certificate is this authority's, for these names, and in its first two thirds."""
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            data = read_bounded(self._leaf_file, _WHAT)
            leaf = x509.load_pem_x509_certificate(data)
            leaf.verify_directly_issued_by(authority.certificate)
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            is_its_key = load_pem_private_key(data, password=None).public_key() == leaf.public_key()
        except (ConfigurationError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False
        starts, ends = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        is_young = starts <= self._now() < starts + (ends - starts) * 2 / 3
        return is_young and is_its_key and set(names) == {general_name(name) for name in self._names}

    def _leaf(self, authority: _Authority) -> str:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import Encoding
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        issuer_key = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        left = authority.certificate.not_valid_after_utc - self._now()
        builder = (
            self._dated(x509.CertificateBuilder(), min(datetime.timedelta(days=LEAF_DAYS), left))
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bacalhau-jupyter")]))
            .issuer_name(authority.certificate.subject)
            .public_key(key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([general_name(name) for name in self._names]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_key), critical=False
            )
        )
        certificates = (builder.sign(authority.key, hashes.SHA256()), authority.certificate)
        return _text(key) + "".join(each.public_bytes(Encoding.PEM).decode() for each in certificates)

    def _dated(
        self, builder: x509.CertificateBuilder, lifetime: datetime.timedelta
    ) -> x509.CertificateBuilder:
        from cryptography import x509

        now = self._now()
        return (
            builder.serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW)
            .not_valid_after(now - _SKEW + lifetime)
        )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _text(key: EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
