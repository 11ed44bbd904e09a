"""Images over HTTP: who may list, load and remove them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bacalhau_jupyter.api.app import build_runner
from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http import middleware
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.challenge import ChallengeMethod
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.auth.sockets import TrustedSockets
from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.grammar.images.verbs import images_table
from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.models.records.kept.images import PATH, KnownImage, KnownImages, PullProgress
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.node.roles.kept.images import NodeImages, open_stores
from bacalhau_jupyter.node.roles.kept.pulling import Pulling
from bacalhau_jupyter.plugins.images import KeptImage
from bacalhau_jupyter.transfer.core.reach import Reach
from tests.api.conftest import KEY, READ_KEY, Reader
from tests.api.recorder import Agent
from tests.engines.images.building import build, file, layer, save
from tests.services.waiting import until


@dataclass
class Served:
    """An API with a store of images."""

    store: Images
    client: aiohttp.ClientSession
    url: str

    async def ask(self, method: str, path: str = "", key: str = KEY, **body: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        sent = None if method in ("GET", "DELETE") else body
        async with self.client.request(method, PATH + path, headers=headers, json=sent) as answer:
            return answer.status, await answer.json()


class Endless(Images):
    """A store whose pulls get on, and are never through."""

    pulls = 0

    async def pull(self, reference: str, progress: Progress = no_progress) -> KeptImage:
        self.pulls += 1
        progress(Reading("pulling image", 1, 2))
        await asyncio.Event().wait()
        raise AssertionError(reference)


@asynccontextmanager
async def serving(root: Path, *, trusted: bool, kind: type[Images] = Images) -> AsyncIterator[Served]:
    store = kind(root / "images", reach=Reach(), env={}, home=root)
    await store.open()
    # The client is this very process, which a node would not take for its user.
    sockets = TrustedSockets(enabled=trusted, processes=ProcessTable(os.getuid(), pid=-1))
    engine = SimpleNamespace(images=store)
    services = ApiServices(
        agent=Agent(),
        access=Access([NodeKey(KEY), Reader()], sockets),
        challenge=ChallengeMethod("n-test"),
        images=NodeImages(lambda: open_stores([engine, SimpleNamespace(images=None), object()])),
    )
    runner = build_runner(services)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with aiohttp.ClientSession(url) as client:
            yield Served(store, client, url)
    finally:
        await runner.cleanup()
        sockets.close()
        await store.close()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    return save(build(layer(file("a", b"x" * 10_000))), tmp_path / "layout", "tools:1")


async def test_the_nodes_own_user_loads_lists_and_removes(tmp_path: Path, layout: Path) -> None:
    async with serving(tmp_path, trusted=True) as served:
        api = AsyncAPI(Endpoint(url=served.url))
        loaded = await api.images.load(str(layout))
        assert [image.names for image in loaded.images] == [["tools:1"]]
        known = await api.images.list()
        assert known.size > 10_000 and known.limit >= known.size and known.images[0].used > "2026"
        assert (await api.images.remove("tools:1")).bytes > 10_000
        await api.images.load(str(layout))
        assert (await api.images.clean()).count == 1
        assert (await api.images.list()).images == []
        await api.close()


async def test_what_a_disk_does_may_take_its_time(
    tmp_path: Path, layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "HANDLER_TIMEOUT_S", 0.0)
    async with serving(tmp_path, trusted=True) as served:
        assert (await served.ask("POST", "/load", Path=str(layout)))[0] == 200
        assert (await served.ask("DELETE"))[0] == 200


async def test_a_key_does_not_open_paths_of_the_machine(tmp_path: Path, layout: Path) -> None:
    async with serving(tmp_path, trusted=False) as served:
        status, refusal = await served.ask("POST", "/load", Path=str(layout))
        assert status == 403 and "only a program of the node's own user" in refusal["Message"]
        await served.store.load(layout)
        for method, path, body in (
            ("DELETE", "", {}),
            ("POST", "/remove", {"Image": "tools:1"}),
            ("POST", "/pull", {"Image": "tools:1"}),
            ("POST", "/pull/stop", {"Image": "tools:1"}),
        ):
            assert (await served.ask(method, path, key=READ_KEY, **body))[0] == 403
            assert (await served.ask(method, path, key="", **body))[0] == 401
        for path in ("", "/pull/progress?image=tools:1"):
            assert (await served.ask("GET", path, key=READ_KEY))[0] == 403
        status, gone = await served.ask("POST", "/remove", Image="tools:1")
        assert status == 200 and gone["Count"] == 1 and await served.store.images() == []


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/load", {}, 400),
        ("/load", {"Path": "relative"}, 400),
        ("/load", {"Path": "/tmp/\0"}, 400),
        ("/load", {"Path": "/not/there"}, 404),
        ("/pull", {}, 400),
        ("/pull", {"Image": "Not:a:name"}, 400),
        ("/pull", {"Image": "127.0.0.1:1/x"}, 403),
        ("/pull/stop", {"Image": 7}, 400),
        ("/remove", {}, 400),
        ("/remove", {"Image": "not here"}, 400),
        ("/remove", {"Image": "nothere:1"}, 404),
        ("/remove", {"Image": 7}, 400),
    ],
)
async def test_bad_orders_are_told(path: str, body: dict[str, Any], status: int, tmp_path: Path) -> None:
    async with serving(tmp_path, trusted=True) as served:
        answered, refusal = await served.ask("POST", path, key="", **body)
        assert (answered, bool(refusal["Message"])) == (status, True)
        assert "Traceback" not in refusal["Message"]


async def test_a_pull_is_told_and_stopped_for_all_who_ordered_it(tmp_path: Path) -> None:
    async with serving(tmp_path, trusted=True, kind=Endless) as served:
        api, store = AsyncAPI(Endpoint(url=served.url)), served.store
        assert isinstance(store, Endless)
        readings: list[Reading] = []
        orders = [asyncio.create_task(api.images.pull("tools:1", readings.append)) for _ in range(2)]
        await until(lambda: store.pulls == 2 and bool(readings))
        assert readings[-1] in (Reading("pulling image"), Reading("pulling image", 1, 2))
        other = asyncio.create_task(api.images.pull("tools:2"))
        await until(lambda: store.pulls == 3)

        await api.images.stop_pull("tools:1")

        for order in orders:
            with pytest.raises(Conflict, match=r"the pull of tools:1 was stopped"):
                await order
        assert not other.done()
        await api.images.stop_pull("tools:2")
        assert isinstance((await asyncio.gather(other, return_exceptions=True))[0], Conflict)
        await api.close()


async def test_a_node_that_stops_is_no_wish_of_a_person(tmp_path: Path) -> None:
    pulling = Pulling()
    store = Endless(tmp_path / "images", reach=Reach(), env={}, home=tmp_path)
    task = asyncio.create_task(pulling.pull(store, "tools:1"))
    async for each in pulling.follow("tools:1"):
        if each.done:
            break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pulling.progress("tools:1") == PullProgress()


async def test_an_image_in_use_is_not_removed(tmp_path: Path, layout: Path) -> None:
    async with serving(tmp_path, trusted=True) as served:
        await served.store.load(layout)
        await served.store.hold("tools:1", "e-1")
        status, refusal = await served.ask("POST", "/remove", Image="tools:1")
        assert status == 409 and "in use by e-1" in refusal["Message"]
        assert (await served.ask("DELETE"))[1]["Count"] == 0


async def test_a_node_without_a_store_says_so() -> None:
    images = NodeImages(list)
    await images.stop_pull("x")
    assert await images.list() == KnownImages() and images.usage() is None
    for work in (images.load(os.devnull), images.pull("x"), images.remove("x")):
        with pytest.raises(Conflict, match="keeps no images of its own") as refused:
            await work
        # The engine may be off, too: then no Docker Engine has the image.
        assert "or not at all" in refused.value.hint


def test_people_see_names_sizes_and_what_all_may_take() -> None:
    known = KnownImages(
        images=[
            KnownImage(
                names=["tools:1", "tools@sha256:" + "a" * 64],
                image_id="sha256:" + "b" * 64,
                size=2_500_000,
                used="2026-11-30T12:00:00Z",
                holders=["e-1"],
            ),
            KnownImage(image_id="sha256:" + "c" * 64),
        ],
        size=2_500_000,
        limit=20_000_000_000,
    )
    text = images_table(known).text()
    assert "tools:1" in text and "bbbbbbbbbbbb " in text and "2026-11-30 12:00:00 UTC" in text
    assert "sha256" not in text and "of 20 GB" in text.replace("20.0 GB", "20 GB")
    assert images_table(KnownImages()).text().endswith("There are no images.")
