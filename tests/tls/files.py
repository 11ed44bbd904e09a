"""Certificates of an authority that only the tests know, as files."""

from __future__ import annotations

import datetime
import functools
from pathlib import Path

import trustme

from bacalhau_jupyter.tls.pairs import Pair

LOCAL = ("localhost", "127.0.0.1", "::1")


@functools.cache
def authority() -> trustme.CA:
    """Return the authority of this test run."""
    return trustme.CA()


def ca_file(directory: Path) -> Path:
    """Write the authority's certificate."""
    path = directory / "authority.pem"
    authority().cert_pem.write_to_path(str(path))
    return path


def write_pair(
    directory: Path, *names: str, name: str = "server", ends: datetime.datetime | None = None
) -> Pair:
    """Write a fresh certificate with its chain, and its key (0600); an earlier pair of that name is replaced."""
    issued = authority().issue_cert(*(names or LOCAL), not_after=ends)
    directory.mkdir(exist_ok=True)
    pair = Pair(directory / f"{name}.pem", directory / f"{name}.key")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    for path, data in ((pair.key, issued.private_key_pem.bytes()), (pair.certificate, chain)):
        # Another file in the place of an earlier one: many kernels count times in steps of 4 ms, and one that is
        # written anew within a step, with as many bytes, would seem to be unchanged.
        new = path.with_name(f"{path.name}.new")
        new.touch(mode=0o600)
        new.write_bytes(data)
        new.replace(path)
    return pair


def expired_pair(directory: Path) -> Pair:
    """Write a certificate whose time is over."""
    return write_pair(directory, ends=datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1))
