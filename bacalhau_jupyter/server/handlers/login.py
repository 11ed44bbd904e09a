"""``<base_url>bacalhau/login``: log in to the connected cluster, in the way that the cluster wants.

The token stays on this server, in the files of the official CLI; a browser sends what a person typed, or gets a link
and a code to show, and hears how it ended.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from jupyter_server.auth.decorator import authorized
from tornado import web

from bacalhau_jupyter.client.login.device import DeviceCode, DeviceLogin
from bacalhau_jupyter.client.login.exchange import ways_of
from bacalhau_jupyter.client.login.fields import fields_of
from bacalhau_jupyter.client.login.flow import ASK, logged_in, no_sign_on, usable_methods
from bacalhau_jupyter.client.login.signing import signed
from bacalhau_jupyter.config.logins.keeping import Logins
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.server.handlers.base import Gateway, GatewayAPIHandler

if TYPE_CHECKING:
    from bacalhau_jupyter.client.login.provider import Provider
    from bacalhau_jupyter.config.endpoint import Endpoint
    from bacalhau_jupyter.models.wire.api import AuthMethod

COMPONENT = "Login"
BODY_LIMIT = 64 * 1024
ANSWER_S = 20.0
"""Seconds for which a question about a running login waits for its end."""


class Answers(msgspec.Struct, forbid_unknown_fields=True):
    """The method that a person chose, and what the person typed, by field."""

    method: str
    answers: dict[str, str] = {}


class _LoginBase(GatewayAPIHandler):
    """What the handlers share."""

    def answer(self, plain: dict[str, Any]) -> None:
        """Answer with plain data, which is of this moment."""
        self.set_header("Cache-Control", "no-store")
        self.finish(encode(plain))

    def body(self) -> Answers:
        """Decode the body; raises BadRequest."""
        if len(self.request.body) > BODY_LIMIT:
            raise BadRequest("the body is too long", status=413)
        try:
            return msgspec.json.decode(self.request.body or b"{}", type=Answers)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # Its own words could repeat what was typed.
            raise BadRequest("the login can't be read") from None


class LoginHandler(_LoginBase):
    """How the connected cluster lets people in; log in by its methods; log out."""

    SUPPORTED_METHODS = ("GET", "POST", "DELETE", "OPTIONS")

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Describe the login: a provider's name, or methods with their fields."""
        try:
            endpoint = await self.gateway.upstream.connection.endpoint()
            provider, methods = await ways_of(endpoint)
            described = [] if provider is not None else _described(methods)
        except BacalhauError as error:
            self.send_envelope(_for_browser(error))
            return
        name = "" if provider is None else provider.name
        self.answer({"url": endpoint.url, "provider": name, "methods": described})

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Log in by a method with what a person typed."""
        try:
            order = self.body()
            endpoint = await self.gateway.upstream.connection.endpoint()
            _, methods = await ways_of(endpoint)
            method = usable_methods(methods).get(order.method)
            if method is None:
                raise NotFound("the cluster has no such login any more", hint="Reload the page.")
            repo = Repo(self.gateway.repo)
            if method.type == ASK:
                names = [item.name for item in fields_of(method.params)]
                answers = {name: order.answers.get(name, "") for name in names}
            else:
                answers = await asyncio.to_thread(signed, method.params, repo.create().path)
            token = await logged_in(endpoint, order.method, answers)
            await asyncio.to_thread(Logins(repo).keep, endpoint, token)
        except BacalhauError as error:
            self.send_envelope(_for_browser(error))
            return
        self.gateway.reconnect()
        self.answer({"done": True})

    @web.authenticated
    @authorized
    async def delete(self) -> None:
        """Forget each login to the connected cluster."""
        try:
            endpoint = await self.gateway.upstream.connection.endpoint()
            was_there = await asyncio.to_thread(Logins(Repo(self.gateway.repo)).forget, endpoint)
        except BacalhauError as error:
            self.send_envelope(error)
            return
        self.gateway.reconnect()
        self.answer({"done": was_there})


class LoginCodesHandler(_LoginBase):
    """Begin a login that a person confirms elsewhere."""

    SUPPORTED_METHODS = ("POST", "OPTIONS")

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Return a link and a code; this server waits for the provider meanwhile."""
        try:
            endpoint = await self.gateway.upstream.connection.endpoint()
            provider, _ = await ways_of(endpoint)
            if provider is None:
                raise no_sign_on()
            async with DeviceLogin(provider) as device:
                code = await device.begin()
        except BacalhauError as error:
            self.send_envelope(_for_browser(error))
            return
        work = _confirmed(self.gateway, endpoint, provider, code)
        login = self.gateway.logins.begin(code, asyncio.create_task(work, name="bacalhau login"))
        # Nobody may ask for it any more when it fails.
        login.end.add_done_callback(lambda task: task.cancelled() or task.exception())
        self.answer(
            {
                "id": login.id,
                "code": code.user_code,
                "url": code.url,
                "complete_url": code.complete_url,
                "expires_s": code.expires_s,
            }
        )


class LoginCodeHandler(_LoginBase):
    """How a login that was begun goes on."""

    SUPPORTED_METHODS = ("GET", "DELETE", "OPTIONS")

    @web.authenticated
    @authorized
    async def get(self, login_id: str) -> None:
        """Tell whether it is done, waiting for that a while; its failure is this answer's."""
        try:
            end = self.gateway.logins.get(login_id).end
            await asyncio.wait([end], timeout=ANSWER_S)
            if end.cancelled():
                raise NotFound("this login was given up")
            if end.done() and (error := end.exception()) is not None:
                raise error
        except BacalhauError as error:
            self.send_envelope(_for_browser(error))
            return
        self.answer({"done": end.done()})

    @web.authenticated
    @authorized
    async def delete(self, login_id: str) -> None:
        """Give the login up."""
        try:
            self.gateway.logins.get(login_id)
            self.gateway.logins.drop()
        except NotFound as error:
            self.send_envelope(error)
            return
        self.answer({"done": True})


async def _confirmed(gateway: Gateway, endpoint: Endpoint, provider: Provider, code: DeviceCode) -> None:
    async with DeviceLogin(provider) as device:
        token = await device.token(code)
    await asyncio.to_thread(Logins(Repo(gateway.repo)).keep_sign_on, endpoint, token)
    gateway.reconnect()


def _described(methods: dict[str, AuthMethod]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "kind": method.type,
            "fields": [{"name": item.name, "secret": item.is_secret} for item in fields_of(method.params)]
            if method.type == ASK
            else [],
        }
        # No method at all is no error here: there are clusters that take keys and passwords only.
        for name, method in sorted((usable_methods(methods) if methods else {}).items())
    ]


def _for_browser(error: BacalhauError) -> BacalhauError:
    """Return an error for the panel: there, 401 means no login to Jupyter, and 500 a fault of this server."""
    error.status = {401: 400, 500: 502}.get(error.status, error.status)
    return error
