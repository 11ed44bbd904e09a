"""Servers that are no ACME servers, or bad ones: each ends in one sentence, none is followed or believed.

A fake, because no real server can be made to do this.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import trustme
from aiohttp import web

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.tls.acme.account import Account, new_key
from bacalhau_jupyter.tls.acme.challenges import TlsAlpnAnswers
from bacalhau_jupyter.tls.acme.orders import Wish, obtain
from bacalhau_jupyter.tls.acme.server import AcmeServer, Refusal

Reply = Callable[[web.Request], web.Response]


@asynccontextmanager
async def odd_server(tmp_path: Path, **replies: Reply) -> AsyncIterator[AcmeServer]:
    """Run a server whose addresses answer as asked, and by default as the start of a conversation does."""
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.configure_cert(context)

    def directory(request: web.Request) -> web.Response:
        base = f"https://{request.host}"
        places = {name: f"{base}/{name}" for name in ("newNonce", "newAccount", "newOrder")}
        return web.json_response(places)

    usual: dict[str, Reply] = {
        "directory": directory,
        "newNonce": lambda _: web.Response(headers={"Replay-Nonce": "n"}),
        "newAccount": lambda _: web.json_response({}, headers={"Location": "https://127.0.0.1/account"}),
    }

    async def answer(request: web.Request) -> web.Response:
        response = {**usual, **replies}[request.match_info["place"]](request)
        if request.match_info["place"] != "directory":
            response.headers.setdefault("Replay-Nonce", "n")
        return response

    app = web.Application()
    app.router.add_route("*", "/{place}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    client = ssl.create_default_context()
    authority.configure_trust(client)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client)) as session:
            url = f"https://127.0.0.1:{port}/directory"
            yield AcmeServer(session, url, Account(new_key()), clock=SystemClock())
    finally:
        await runner.cleanup()


async def _order(server: AcmeServer) -> None:
    await server.open()
    await obtain(server, Wish(names=("n.example.org",)), TlsAlpnAnswers(), clock=SystemClock())


def _elsewhere(_: web.Request) -> web.Response:
    raise web.HTTPFound("http://127.0.0.1:1/secret")


def _places(**others: object) -> Reply:
    def directory(request: web.Request) -> web.Response:
        base = f"https://{request.host}"
        places = {name: f"{base}/{name}" for name in ("newNonce", "newAccount", "newOrder")}
        return web.json_response({**places, **others})

    return directory


ODDITIES: dict[str, tuple[dict[str, Reply], str]] = {
    "a page": ({"directory": lambda _: web.Response(text="<html>")}, "does not answer with a JSON object"),
    "a list": ({"directory": lambda _: web.json_response([])}, "does not answer with a JSON object"),
    "deep JSON": (
        {"directory": lambda _: web.Response(text="[" * 100_000)},
        "does not answer with a JSON object",
    ),
    "an endless answer": (
        {"directory": lambda _: web.Response(body=b" " * (2 << 20))},
        "more than 1048576 bytes",
    ),
    "a redirect": ({"directory": _elsewhere}, "HTTP 302"),
    "an empty directory": ({"directory": lambda _: web.json_response({})}, "has no newNonce"),
    "an address that is a number": ({"directory": _places(newAccount=7)}, "has no newAccount"),
    "an address without TLS": ({"directory": _places(newAccount="http://127.0.0.1:1/")}, "no https URL"),
    "a file": ({"directory": _places(newOrder="file:///etc/passwd")}, "no https URL"),
    "a broken address": ({"directory": _places(newOrder="https://[x")}, "no https URL"),
    "no nonce": ({"newNonce": lambda _: web.Response(headers={"Replay-Nonce": ""})}, "gives no nonces"),
    "a text as an order": (
        {"newOrder": lambda _: web.Response(text="done")},
        "does not answer with a JSON object",
    ),
    "authorizations of the wrong type": (
        {
            "newOrder": lambda request: web.json_response(
                {"status": "ready", "authorizations": 7, "finalize": "ftp://x"},
                headers={"Location": f"https://{request.host}/newOrder"},
            )
        },
        "no https URL",
    ),
    "challenges of the wrong type": (
        {
            "newOrder": lambda request: web.json_response(
                {"status": "pending", "authorizations": [f"https://{request.host}/proof"]}
            ),
            "proof": lambda _: web.json_response({"status": "pending", "challenges": 7}),
        },
        "the name: the ACME server offers no challenge, not tls-alpn-01",
    ),
    "an order that is nowhere": (
        {"newOrder": lambda _: web.json_response({"status": "ready", "authorizations": ["x"]})},
        "no https URL",
    ),
    "a failure without a word": ({"newOrder": lambda _: web.Response(status=500)}, "HTTP 500"),
}


@pytest.mark.parametrize(("replies", "sentence"), ODDITIES.values(), ids=ODDITIES)
async def test_an_odd_answer_is_one_sentence(
    tmp_path: Path, replies: dict[str, Reply], sentence: str
) -> None:
    async with odd_server(tmp_path, **replies) as server:
        with pytest.raises(NetworkFailure, match=sentence):
            await _order(server)


async def test_a_nonce_that_is_never_right_is_not_tried_for_ever(tmp_path: Path) -> None:
    problem = {"type": "urn:ietf:params:acme:error:badNonce", "detail": "no"}
    async with odd_server(tmp_path, newOrder=lambda _: web.json_response(problem, status=400)) as server:
        with pytest.raises(NetworkFailure, match="took none of 30 nonces"):
            await _order(server)


async def test_a_limit_comes_with_the_time_that_the_server_names(tmp_path: Path) -> None:
    problem = {
        "type": "urn:ietf:params:acme:error:rateLimited",
        "detail": "too many certificates",
        "subproblems": [{"identifier": {"value": "n.example.org"}, "detail": "five today"}, 7],
    }
    reply = web.json_response(problem, status=429, headers={"Retry-After": "3600"})
    async with odd_server(tmp_path, newOrder=lambda _: reply) as server:
        with pytest.raises(Refusal, match=r"too many certificates; n\.example\.org: five today") as caught:
            await _order(server)
    assert caught.value.retry_after_s == 3600
    assert caught.value.details == {"type": "rateLimited"}
