"""One login, whichever way the cluster has: what to do in which order, and what to ask the person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bacalhau_jupyter.client.login import COMPONENT
from bacalhau_jupyter.client.login.device import DeviceCode, DeviceLogin
from bacalhau_jupyter.client.login.exchange import Exchange, ways_of
from bacalhau_jupyter.client.login.fields import Field, fields_of
from bacalhau_jupyter.client.login.signing import signed
from bacalhau_jupyter.models.errors import BacalhauError, Unauthorized
from bacalhau_jupyter.models.wire.api import AuthMethod

if TYPE_CHECKING:
    from bacalhau_jupyter.client.connection.portal import Portal
    from bacalhau_jupyter.client.login.provider import Provider
    from bacalhau_jupyter.config.endpoint import Endpoint
    from bacalhau_jupyter.config.repo import Repo

CHALLENGE, ASK = "challenge", "ask"
QUESTION = "How would you like to authenticate?"
_BY_VARIABLES = (
    "There is no login. Set BACALHAU_API_KEY, or set BACALHAU_API_USERNAME and BACALHAU_API_PASSWORD. "
    "They are sent with each request."
)


class Prompter(Protocol):
    """How a front end talks with the person who logs in. Its methods block."""

    def show_code(self, code: DeviceCode, provider: str) -> None:
        """Show where to log in, and with which code."""
        ...

    def ask(self, field: Field) -> str:
        """Return what the person types; raises BacalhauError where nobody can."""
        ...

    def choose(self, question: str, names: Sequence[str]) -> str | None:
        """Return one of the names; None when the person wants none."""
        ...

    def finish(self, login: LoggedIn | None) -> None:
        """Say how it ended (None: not well, an error says why), and take away what `show_code` showed."""
        ...


@dataclass(frozen=True)
class LoggedIn:
    """How a login ended well.

    Attributes
    ----------
    url
        The cluster.
    by
        The provider's or the method's name.
    is_sign_on
        Whether a provider did it.
    profile
        The saved profile that has the token now; empty when only the file of tokens has it.
    """

    url: str
    by: str
    is_sign_on: bool
    profile: str = ""


class Login:
    """Logs a person in to a cluster, and keeps the token.

    Parameters
    ----------
    endpoint
        The cluster.
    repo
        Where tokens are kept, and where the client's key pair is.
    portal
        The event loop for requests; an interrupt ends them.
    prompter
        Talks with the person.
    """

    def __init__(self, endpoint: Endpoint, repo: Repo, portal: Portal, prompter: Prompter) -> None:
        self._endpoint = endpoint
        self._repo = repo
        self._portal = portal
        self._prompter = prompter

    def any_way(self) -> LoggedIn:
        """Log in as the cluster wants it.

        Raises
        ------
        Unauthorized
            The person gave up, the credentials are wrong, or the cluster has no way that a client can go.
        BacalhauError
            Cluster or provider can't be reached, or answer nonsense.
        """
        provider, methods = self._portal.run(ways_of(self._endpoint))
        if provider is not None:
            return self._by_provider(provider)
        return self._by_method(usable_methods(methods))

    def if_offered(self, *, waits: bool) -> LoggedIn | None:
        """Log in as `any_way` does; None where the cluster has no way that a client can go.

        Without ``waits`` nobody is asked to confirm a code elsewhere, which would take minutes.
        """
        provider, methods = self._portal.run(ways_of(self._endpoint))
        if provider is not None:
            return self._by_provider(provider) if waits else None
        try:
            known = usable_methods(methods)
        except Unauthorized:
            return None
        return self._by_method(known)

    def by_sign_on(self) -> LoggedIn:
        """Log in at the cluster's identity provider; raises as `any_way` does, also where it has none."""
        provider, _ = self._portal.run(ways_of(self._endpoint))
        if provider is None:
            raise no_sign_on()
        return self._by_provider(provider)

    def _by_provider(self, provider: Provider) -> LoggedIn:
        from bacalhau_jupyter.config.logins.keeping import Logins

        code = self._portal.run(_code(provider))
        login = None
        try:
            self._prompter.show_code(code, provider.name)
            token = self._portal.run(_confirmed(provider, code))
            profile = Logins(self._repo).keep_sign_on(self._endpoint, token)
            login = LoggedIn(self._endpoint.url, provider.name, True, profile)
        finally:
            self._prompter.finish(login)
        return login

    def _by_method(self, methods: Mapping[str, AuthMethod]) -> LoggedIn:
        from bacalhau_jupyter.config.logins.keeping import Logins

        names = sorted(methods)
        name = names[0] if len(names) == 1 else self._prompter.choose(QUESTION, names)
        if name is None:
            raise Unauthorized("no login method was chosen", component=COMPONENT)
        answers = self._answers(methods[name])
        token = self._portal.run(logged_in(self._endpoint, name, answers))
        profile = Logins(self._repo).keep(self._endpoint, token)
        login = LoggedIn(self._endpoint.url, name, False, profile)
        self._prompter.finish(login)
        return login

    def _answers(self, method: AuthMethod) -> dict[str, str]:
        if method.type == CHALLENGE:
            return signed(method.params, self._repo.path)
        return {field.name: self._prompter.ask(field) for field in fields_of(method.params)}


async def _code(provider: Provider) -> DeviceCode:
    async with DeviceLogin(provider) as login:
        return await login.begin()


async def _confirmed(provider: Provider, code: DeviceCode) -> str:
    async with DeviceLogin(provider) as login:
        return await login.token(code)


async def logged_in(endpoint: Endpoint, method: str, answers: Mapping[str, str]) -> str:
    """Log in by a method with the person's answers; return the token. Raises as `Exchange.token` does."""
    exchange = Exchange(endpoint)
    try:
        return await exchange.token(method, answers)
    finally:
        await exchange.close()


def usable_methods(methods: Mapping[str, AuthMethod]) -> dict[str, AuthMethod]:
    """Return the methods that this client knows.

    Raises
    ------
    Unauthorized
        There is none, or none that it knows.
    """
    if not methods:
        raise Unauthorized(
            "this cluster accepts API keys, or user names and passwords, and gives no token for them",
            hint=_BY_VARIABLES,
            component=COMPONENT,
        )
    known = {name: method for name, method in methods.items() if method.type in (CHALLENGE, ASK)}
    if not known:
        theirs = ", ".join(sorted({method.type for method in methods.values()}))
        raise Unauthorized(
            f"no common authentication method: this client knows {ASK} and {CHALLENGE}, the cluster wants {theirs}",
            component=COMPONENT,
        )
    return known


def no_sign_on() -> BacalhauError:
    """Return the official error of a cluster without single sign-on."""
    return BacalhauError(
        "orchestrator does not support logging in using SSO",
        hint="%bacalhau auth info shows how it lets people in.",
        component=COMPONENT,
    )
