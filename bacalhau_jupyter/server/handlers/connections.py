"""``<base_url>bacalhau/connections``: the saved connections, which one is used, and whether one would work.

They are the official CLI's profiles in the repo directory, so kernels, terminals and the gateway agree. A token goes in
and never comes out again.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from tornado import web

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.connection.handshakes import told_apart
from bacalhau_jupyter.config.authorities import checked_authority
from bacalhau_jupyter.config.choice.choice import fixed_by
from bacalhau_jupyter.config.endpoint import Endpoint, basic_credential, endpoint_url, shown_endpoint
from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import (
    BacalhauError,
    BadRequest,
    ConfigurationError,
    Conflict,
    Forbidden,
    NetworkFailure,
    Unauthorized,
)
from bacalhau_jupyter.server.handlers.base import GatewayAPIHandler

COMPONENT = "Connections"

TEST_TIMEOUT_S = 15.0
BODY_LIMIT = 64 * 1024


class SavedConnection(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a person enters. An empty ``token`` keeps the saved one of the same name and endpoint."""

    name: str = ""
    endpoint: str = ""
    token: str = ""
    description: str = ""
    timeout: str = ""
    insecure: bool = False
    ca_file: str = ""


class Choice(msgspec.Struct, forbid_unknown_fields=True):
    """Which connection to use; an empty name means the node of this machine."""

    name: str = ""


class _ConnectionsBase(GatewayAPIHandler):
    """What the handlers share."""

    @property
    def store(self) -> ProfileStore:
        """The saved connections."""
        return ProfileStore(Repo(self.gateway.repo).profiles_dir)

    def body(self, kind: type[Any]) -> Any:
        """Decode the body; raises BadRequest."""
        if len(self.request.body) > BODY_LIMIT:
            raise BadRequest("the body is too long", status=413)
        try:
            return msgspec.json.decode(self.request.body or b"{}", type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadRequest(f"the connection can't be read: {error}") from error


class ConnectionsHandler(_ConnectionsBase):
    """List and save."""

    SUPPORTED_METHODS = ("GET", "PUT", "OPTIONS")

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List the connections, without their tokens."""
        self.finish(encode(await asyncio.to_thread(describe, self.store)))

    @web.authenticated
    @authorized
    async def put(self) -> None:
        """Save a connection under its name."""
        try:
            order = self.body(SavedConnection)
            await asyncio.to_thread(_save, self.store, order)
        except BacalhauError as error:
            self.send_envelope(error)
            return
        self.finish(encode(await asyncio.to_thread(describe, self.store)))


class CurrentConnectionHandler(_ConnectionsBase):
    """Switch panel, kernels and lease to another saved connection."""

    SUPPORTED_METHODS = ("PUT", "OPTIONS")

    @web.authenticated
    @authorized
    async def put(self) -> None:
        """Use another cluster from now on: gateway, kernels and terminals alike."""
        try:
            choice = self.body(Choice)
            if fixed := fixed_by():
                raise Conflict(
                    f"the cluster is chosen by {fixed} in this server's environment",
                    hint="unset it and start Jupyter again to switch here",
                )
            await asyncio.to_thread(_select, self.store, choice.name)
        except BacalhauError as error:
            self.send_envelope(error)
            return
        self.gateway.reconnect()
        self.finish(encode(await asyncio.to_thread(describe, self.store)))


class ConnectionTestHandler(_ConnectionsBase):
    """Try a connection that need not be saved, and say what answers there."""

    SUPPORTED_METHODS = ("POST", "OPTIONS")

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Ask a cluster for its version and a list of nodes; report what is missing in one sentence."""
        try:
            order = self.body(SavedConnection)
            endpoint = await asyncio.to_thread(_endpoint, self.store, order)
        except BacalhauError as error:
            self.send_envelope(error)
            return
        self.finish(encode(await probe(endpoint)))


class ConnectionHandler(_ConnectionsBase):
    """Remove a saved connection."""

    SUPPORTED_METHODS = ("DELETE", "OPTIONS")

    @web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Remove a saved connection; the one that is used must be left first."""
        try:
            await asyncio.to_thread(_delete, self.store, name)
        except BacalhauError as error:
            self.send_envelope(error)
            return
        self.finish(encode(await asyncio.to_thread(describe, self.store)))


def describe(store: ProfileStore) -> dict[str, Any]:
    """Return ``current`` (empty: this machine's node), ``fixed_by`` and ``connections``. Blocking."""
    connections: list[dict[str, Any]] = []
    for name in store.names():
        try:
            profile = store.load(name)
        except BacalhauError as error:
            connections.append({"name": name, "problem": error.message})
            continue
        connections.append(
            {
                "name": name,
                "endpoint": shown_endpoint(profile.endpoint),
                "description": profile.description,
                "insecure": profile.insecure,
                "ca_file": profile.ca_file,
                "timeout": profile.timeout,
                "has_token": bool(profile.token),
                "problem": "",
            }
        )
    return {"current": store.current() or "", "fixed_by": fixed_by(), "connections": connections}


async def probe(endpoint: Endpoint) -> dict[str, Any]:
    """Return ``ok``, ``version``, ``nodes`` and ``problem`` (a sentence, or empty) of a cluster."""
    api = AsyncAPI(endpoint, timeout_s=TEST_TIMEOUT_S)
    version, nodes, problem = "", None, ""
    try:
        async with asyncio.timeout(TEST_TIMEOUT_S):
            version = (await api.agent_version()).git_version
            # Whoever may not see nodes has a credential that works.
            with suppress(Forbidden):
                nodes = len((await api.nodes()).nodes)
    except BacalhauError as error:
        is_refusal = isinstance(error, Unauthorized)
        problem = (error if is_refusal else await told_apart(endpoint.url, error)).message
    except TimeoutError:
        silent = NetworkFailure(f"{endpoint.url} did not answer within {TEST_TIMEOUT_S:.0f} s")
        problem = (await told_apart(endpoint.url, silent)).message
    finally:
        await api.close()
    return {"ok": not problem, "version": version, "nodes": nodes, "problem": problem}


def _save(store: ProfileStore, connection: SavedConnection) -> None:
    if not connection.name.strip():
        raise BadRequest("a connection needs a name")
    _url(connection.endpoint)
    store.save(connection.name.strip(), _profile(store, connection))


def _endpoint(store: ProfileStore, connection: SavedConnection) -> Endpoint:
    profile = _profile(store, connection)
    return Endpoint(
        url=_url(profile.endpoint, "https" if profile.ca_file else "http"),
        token=profile.token,
        basic="" if profile.token else basic_credential(profile.user, profile.password),
        insecure=profile.insecure,
        ca_file=profile.ca_file,
        source="test",
    )


def _profile(store: ProfileStore, connection: SavedConnection) -> Profile:
    saved = Profile(endpoint="")
    if not connection.token and connection.name in store.names():
        known = store.load(connection.name)
        # The credential of one server is never sent to another.
        saved = known if known.endpoint == connection.endpoint.strip() else saved
    return Profile(
        endpoint=connection.endpoint.strip(),
        token=connection.token or saved.token,
        description=connection.description,
        timeout=connection.timeout,
        insecure=connection.insecure,
        ca_file=_authority(connection.ca_file.strip()),
        user=saved.user,
        password=saved.password,
    )


def _authority(path: str) -> str:
    try:
        return checked_authority(path) if path else ""
    except ConfigurationError as error:
        # As an endpoint that was mistyped.
        raise BadRequest(error.message, hint=error.hint) from error


def _url(endpoint: str, scheme: str = "http") -> str:
    if shown_endpoint(endpoint) != endpoint:
        raise BadRequest(
            "the endpoint holds a user or a password, which would be shown with it",
            hint="leave it out, and enter a token",
        )
    try:
        return endpoint_url(endpoint.strip(), scheme)
    except ConfigurationError as error:
        # A user's typing error is not a fault of this server's configuration.
        raise BadRequest(error.message) from error


def _delete(store: ProfileStore, name: str) -> None:
    if store.current() == name:
        raise Conflict(f"the connection {name} is in use", hint="switch to another one first")
    store.delete(name)


def _select(store: ProfileStore, name: str) -> None:
    if name:
        store.select(name)
    else:
        store.deselect()
