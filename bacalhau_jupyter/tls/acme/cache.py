"""The folder that keeps the account's key and the certificate, in the format and with the names of official nodes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from bacalhau_jupyter.config.files import create_once, io_explained, write_atomic
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.tls.acme.bundle import Bundle

ACCOUNT_FILE = "acme_account+key"

log = logging.getLogger(__name__)


class Cache:
    """The folder; made (0700) when something is stored.

    Parameters
    ----------
    directory
        Where it is.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def account_file(self) -> Path:
        """Where the account's key is."""
        return self.directory / ACCOUNT_FILE

    def certificate_file(self, name: str) -> Path:
        """Where the certificate for a name is; an IPv6 address has colons, which some file systems lack."""
        return self.directory / name.replace(":", "_")

    def account_pem(self, make: Callable[[], str]) -> str:
        """Return the account's key; ``make`` makes it where there is none yet.

        Raises
        ------
        IOFailure
            It can't be read, or written.
        """
        self._create()
        text = create_once(self.account_file, make())
        self._protect(self.account_file)
        return text

    def load(self, name: str) -> Bundle | None:
        """Return the certificate for a name; None where there is none that can be used (the log says why)."""
        path = self.certificate_file(name)
        try:
            text = read_text(path)
            self._protect(path)
            return Bundle.of_pem(text)
        except FileNotFoundError:
            return None
        except (ValueError, OSError, IOFailure) as error:
            log.warning("%s can't be used, so a certificate is ordered: %s", path, error)
            return None

    def store(self, name: str, bundle: Bundle) -> None:
        """Keep a certificate (0600).

        Raises
        ------
        IOFailure
            It can't be written.
        """
        self._create()
        write_atomic(self.certificate_file(name), bundle.pem)

    def _create(self) -> None:
        with io_explained("can't create", self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _protect(self, path: Path) -> None:
        """Take a key away from other users."""
        with io_explained("can't protect", path):
            if path.stat().st_mode & 0o077:
                log.warning("other users could read the key in %s; now only its owner can", path)
                path.chmod(0o600)
