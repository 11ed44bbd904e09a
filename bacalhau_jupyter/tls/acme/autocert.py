"""``API.TLS.AutoCert`` at work: answers validations, serves the certificate, renews it."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.tls.acme.account import Account, key_pem, new_key
from bacalhau_jupyter.tls.acme.bundle import Bundle
from bacalhau_jupyter.tls.acme.cache import Cache
from bacalhau_jupyter.tls.acme.challenges import HTTP, Answers, HttpAnswers, TlsAlpnAnswers
from bacalhau_jupyter.tls.acme.listener import listening
from bacalhau_jupyter.tls.acme.names import is_address
from bacalhau_jupyter.tls.acme.orders import Wish, obtain
from bacalhau_jupyter.tls.acme.renewal import RETRY_S, TASK, Dice, Keeper, fair_dice
from bacalhau_jupyter.tls.acme.server import AcmeServer
from bacalhau_jupyter.tls.acme.settings import AutoCertSettings


class AutoCert:
    """The certificate of one node.

    Parameters
    ----------
    settings
        What the configuration says.
    retry_s
        First and longest pause after a failure.
    dice
        Spreads renewals (`Keeper`).
    """

    def __init__(
        self,
        settings: AutoCertSettings,
        *,
        clock: Clock,
        problems: Problems,
        retry_s: tuple[float, float] = RETRY_S,
        dice: Dice = fair_dice,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._problems = problems
        self._retry_s = retry_s
        self._tls_answers = TlsAlpnAnswers()
        self._context: ssl.SSLContext | None = None
        self._hosts = frozenset(name for name in settings.names if not is_address(name))
        self._cache = Cache(settings.cache_dir)
        self.keeper = Keeper(
            settings.names,
            self._cache,
            self.order,
            self._install,
            clock=clock,
            problems=problems,
            retry_s=retry_s,
            dice=dice,
        )

    async def start(self) -> None:
        """Serve what the cache has already."""
        await asyncio.to_thread(self.keeper.take_up)

    async def run(self) -> None:
        """Order and renew until cancelled."""
        await self._problems.keep(TASK, self.keeper.run, self._retry_s)

    def context(self, server_name: str, *, is_local: bool = False) -> ssl.SSLContext | None:
        """Return what to shake hands with; None where the certificate is not for this connection, or not there yet.

        Parameters
        ----------
        server_name
            As the client sends it; empty where it dials an address.
        is_local
            Whether it dials a loopback address, for which no authority issues a certificate.
        """
        if server_name:
            return self._context if server_name.lower() in self._hosts else None
        dials_ours = len(self._hosts) < len(self._settings.names) and not is_local
        return self._context if dials_ours else None

    def challenge(self, server_name: str) -> ssl.SSLContext | None:
        """Return what to shake hands with for ``acme-tls/1``; None where no validation is under way."""
        return self._tls_answers.context(server_name)

    async def order(self) -> Bundle:
        """Get a certificate.

        Raises
        ------
        BacalhauError
            It can't be had now.
        """
        import aiohttp

        settings = self._settings
        pem = await asyncio.to_thread(self._cache.account_pem, lambda: key_pem(new_key()))
        account = Account.of_pem(pem, str(self._cache.account_file))
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(ssl=settings.authority)
            session = aiohttp.ClientSession(connector=connector, trust_env=True)
            await stack.enter_async_context(session)
            answers: Answers = self._tls_answers
            if settings.challenge == HTTP:
                answers = http_answers = HttpAnswers()
                await stack.enter_async_context(listening(http_answers, settings.host, settings.http_port))
            server = AcmeServer(session, settings.directory_url, account, clock=self._clock)
            await server.open(settings.contact)
            wish = Wish(names=settings.names, profile=settings.profile)
            return await obtain(server, wish, answers, clock=self._clock)

    def _install(self, bundle: Bundle) -> None:
        self._context = bundle.context()
