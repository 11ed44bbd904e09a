"""What a node with ``API.TLS.AutoCert`` shows: for its names the ordered certificate, else one of its own authority."""

from __future__ import annotations

import asyncio
import logging
import ssl

from bacalhau_jupyter.lib.nearby import is_loopback
from bacalhau_jupyter.tls.acme.autocert import AutoCert
from bacalhau_jupyter.tls.certificates import ServedCertificates

log = logging.getLogger(__name__)


class OrderedCertificates:
    """Certificates of a node (`tls.settings.WatchedCertificates`).

    Parameters
    ----------
    autocert
        Orders.
    fallback
        The certificate for all other names, and until the ordered one is there.
    remark
        What has to be arranged outside of the node; said when ordering begins.
    """

    def __init__(self, autocert: AutoCert, fallback: ServedCertificates, remark: str = "") -> None:
        self._autocert = autocert
        self._fallback = fallback
        self._remark = remark

    def context(self, server_name: str, peer: str) -> ssl.SSLContext | None:
        """Return what an ordinary client gets."""
        ordered = self._autocert.context(server_name, is_local=is_loopback(peer))
        return ordered or self._fallback.context(server_name, peer)

    def challenge(self, server_name: str) -> ssl.SSLContext | None:
        """Return the proof for an authority; None where no validation is under way."""
        return self._autocert.challenge(server_name)

    async def start(self) -> None:
        """Load what is there already.

        Raises
        ------
        BacalhauError
            Not even the node's own authority can issue a certificate.
        """
        await self._fallback.start()
        await self._autocert.start()

    async def watch(self) -> None:
        """Order and renew, for as long as this runs."""
        if self._remark:
            log.warning("%s", self._remark)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fallback.watch())
            group.create_task(self._autocert.run())

    def reload(self) -> None:
        """Look at the fallback's files now; the ordered certificate is looked after by itself."""
        self._fallback.reload()
