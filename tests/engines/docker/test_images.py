"""Images: local ones, missing ones, other platforms, and pulling from a registry on a loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from docker.errors import ImageNotFound

from bacalhau_jupyter.engines.docker.connection import CALLS
from bacalhau_jupyter.engines.docker.engine import DockerEngine
from bacalhau_jupyter.engines.docker.registry.replies import not_available
from bacalhau_jupyter.engines.registries.names import image_invalid
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.records.progress import Reading
from tests.clock import ManualClock
from tests.engines.docker.conftest import Node, derived_image, execution_of, load_image, output_of
from tests.services.registry import Pushed, Registry


@pytest.fixture
def other_platform(api: Any) -> str:
    return "linux/arm64" if api.version()["Arch"] == "amd64" else "linux/amd64"


@pytest.fixture
def foreign_image(api: Any, other_platform: str) -> Iterator[str]:
    image = load_image(api, "bacalhau-jupyter-test/foreign", other_platform.removeprefix("linux/"))
    yield image
    remove(api, image)


def remove(api: Any, image: str) -> None:
    with contextlib.suppress(ImageNotFound):
        api.remove_image(image, force=True)


@pytest.fixture
def pushed(api: Any, busybox_image: str, registry: Registry) -> Iterator[Pushed]:
    """An image that only the registry has (its layers are not here either)."""
    image = derived_image(api, busybox_image, "bacalhau-jupyter-test/pushed", ['CMD ["echo", "pulled"]'])
    pushed = registry.push(image, "tests/pushed:1")
    api.remove_image(image, force=True)
    yield pushed
    for name in (pushed.tagged, pushed.pinned):
        remove(api, name)


async def test_a_local_image_without_a_registry_digest_is_accepted(
    node: Node, api: Any, busybox_image: str
) -> None:
    # Of its own, since somebody may have pushed the shared one from here.
    image = derived_image(
        api, busybox_image, "bacalhau-jupyter-test/never-pushed", ['LABEL "pushed"="never"']
    )
    try:
        assert not api.inspect_image(image)["RepoDigests"]
        assert (await node.engine.bid(execution_of({"Image": image}))).accepted
    finally:
        remove(api, image)


async def test_an_image_can_be_named_by_its_id(node: Node, api: Any, busybox_image: str) -> None:
    identifier = api.inspect_image(busybox_image)["Id"]
    done = await node.run({"Image": identifier, "Parameters": ["echo", "by id"]})
    assert done.stdout == "by id\n"


async def test_a_local_image_for_another_platform_is_refused_with_both_platforms(
    node: Node, foreign_image: str, other_platform: str, api: Any
) -> None:
    bid = await node.engine.bid(execution_of({"Image": foreign_image}))
    mine = f"linux/{api.version()['Arch']}"
    assert bid.reason == (
        f"this node does not support the available image platforms [{other_platform}] (supports [{mine}])"
    )
    assert not bid.accepted


async def test_a_registry_image_for_another_platform_is_refused_without_pulling_it(
    node: Node, foreign_image: str, other_platform: str, registry: Registry, api: Any
) -> None:
    pushed = registry.push(foreign_image, "tests/foreign:1")
    remove(api, foreign_image)
    bid = await node.engine.bid(execution_of({"Image": pushed.tagged}))
    assert not bid.accepted
    assert f"[{other_platform}]" in bid.reason
    assert not api.images(pushed.tagged)


@pytest.mark.parametrize("answer", ['{"token": "of-somebody-else"}', "<p>of-somebody-else</p>"])
async def test_the_answer_of_a_server_that_is_not_a_registry_is_not_shown(node: Node, answer: str) -> None:
    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(answer.encode())

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(EngineError) as refused:
            await node.engine.bid(execution_of({"Image": f"127.0.0.1:{server.server_port}/any:1"}))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert "of-somebody-else" not in f"{refused.value.message} {refused.value.hint} {refused.value.details}"
    assert "404" in refused.value.hint


def test_a_registry_that_a_host_can_not_reach_is_told_with_the_hosts_name() -> None:
    reason = "dial tcp: lookup registry-1.docker.io: i/o timeout"
    assert "from host gpu1" in not_available("python:3.11", reason, "host gpu1").hint
    assert "from this node" in not_available("python:3.11", reason).hint


@pytest.mark.parametrize("image", ["127.0.0.1:9/nothing:1", "{registry}/nothing:1"])
async def test_a_missing_image_is_named_and_the_hint_has_the_reason(
    node: Node, registry: Registry, image: str
) -> None:
    image = image.format(registry=registry.address)
    with pytest.raises(EngineError) as refused:
        await node.engine.bid(execution_of({"Image": image}))
    error = refused.value
    assert error.message == f'image not available: "{image}"'
    assert (error.code, error.component, error.details) == ("ImageNotFound", "Docker", {"Image": image})
    assert "refused" in error.hint or "unknown" in error.hint
    # A node whose bid was long ago finds the same at the start.
    with pytest.raises(EngineError, match="image not available"):
        await node.engine.start(node.request({"Image": image}))


@pytest.mark.parametrize(
    "image", ["", "@", "Foo", "a b", "../containers/x", "a?b=c", "x" * 2000, "a" + "-" * 900]
)
async def test_an_invalid_image_name_is_refused_as_such(node: Node, image: str) -> None:
    with pytest.raises(EngineError) as refused:
        await node.engine.bid(execution_of({"Image": image}))
    assert refused.value.message.startswith("invalid image format: ")
    assert refused.value.code == "ImageInvalid"


@pytest.mark.parametrize("image", ["docker-archive:/data/x.tar", "oci:layout:1", "./x.tar", "/data/x.tar.gz"])
def test_an_image_in_a_file_is_to_be_loaded_first(image: str) -> None:
    assert "image load PATH" in image_invalid(image).hint
    assert "image load PATH" not in image_invalid("Ubuntu:22.04").hint


@pytest.mark.parametrize("image", ["u:hunter2@127.0.0.1:1/img", "https://u:hunter2@registry.example/img"])
def test_a_login_in_an_image_name_is_not_told(image: str) -> None:
    error = image_invalid(image)
    assert "hunter2" not in f"{error.message} {error.details}"
    assert image_invalid("Name:tag@sha256:0").details == {"Image": "Name:tag@sha256:0"}


async def test_an_image_is_pulled_by_its_digest_with_progress_in_bytes(
    node: Node, pushed: Pushed, api: Any
) -> None:
    assert (await node.engine.bid(execution_of({"Image": pushed.pinned}))).accepted
    reports: list[Reading] = []
    request = node.request({"Image": pushed.pinned})
    await node.engine.start(request, reports.append)
    assert (await node.engine.wait(request.execution.id)).exit_code == 0
    assert output_of(request.log_path)[0] == "pulled\n"
    await node.engine.clean(request.execution.id)
    assert reports[0] == Reading("pulling image")
    assert {it.phase for it in reports} == {"pulling image"}
    done = [it.done for it in reports]
    assert done == sorted(done)
    assert reports[-1].done == reports[-1].total != 0
    assert pushed.pinned in api.inspect_image(pushed.pinned)["RepoDigests"]


async def test_a_tag_beside_a_digest_does_not_choose_the_image(node: Node, pushed: Pushed) -> None:
    both = f"{pushed.tagged}@{pushed.digest}"
    assert (await node.engine.bid(execution_of({"Image": both}))).accepted
    assert (await node.run({"Image": both})).stdout == "pulled\n"


async def test_a_digest_that_the_registry_does_not_have_is_refused(node: Node, pushed: Pushed) -> None:
    image = f"{pushed.tagged.rpartition(':')[0]}@sha256:{'0' * 64}"
    with pytest.raises(EngineError, match="image not available"):
        await node.engine.bid(execution_of({"Image": image}))


async def test_a_node_that_pulls_nothing_refuses_what_it_does_not_have(
    node: Node, pushed: Pushed, busybox_image: str
) -> None:
    engine = node.another({"DOCKER_HOST": node.url, "SKIP_IMAGE_PULL": "true"})
    try:
        assert (await engine.probe()).available
        assert (await engine.bid(execution_of({"Image": busybox_image}))).accepted
        bid = await engine.bid(execution_of({"Image": pushed.tagged}))
        assert not bid.accepted
        assert bid.reason.endswith("pulls no images (SKIP_IMAGE_PULL is set)")
        with pytest.raises(EngineError, match="image not available"):
            await engine.start(node.request({"Image": pushed.tagged}))
    finally:
        await engine.close()


async def test_a_tag_whose_local_copy_is_for_another_platform_is_pulled_again(
    node: Node, pushed: Pushed, foreign_image: str, api: Any
) -> None:
    name, _, tag = pushed.tagged.rpartition(":")
    api.tag(foreign_image, name, tag)
    assert (await node.engine.bid(execution_of({"Image": pushed.tagged}))).accepted
    assert (await node.run({"Image": pushed.tagged})).stdout == "pulled\n"


async def test_cancelling_while_a_registry_does_not_answer_ends_the_wait(node: Node) -> None:
    held: list[asyncio.StreamWriter] = []

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    silent = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    pulling = threading.Event()
    request = node.request({"Image": f"127.0.0.1:{port}/slow:1"})
    start = asyncio.create_task(node.engine.start(request, lambda *_: pulling.set()))
    try:
        assert await asyncio.to_thread(pulling.wait, 60)
        await asyncio.wait_for(node.engine.cancel(request.execution.id), 60)
        with pytest.raises(EngineError, match="cancelled"):
            await asyncio.wait_for(start, 60)
    finally:
        silent.close()
        for writer in held:
            writer.close()


async def test_executions_that_want_the_same_image_share_one_pull_and_one_may_leave(
    node: Node, pushed: Pushed
) -> None:
    requests = [node.request({"Image": pushed.tagged}) for _ in range(3)]
    starts = [asyncio.create_task(node.engine.start(request)) for request in requests]
    await asyncio.sleep(0)
    starts[0].cancel()
    ended = await asyncio.gather(*starts, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    for request in requests[1:]:
        assert (await node.engine.wait(request.execution.id)).exit_code == 0
        await node.engine.clean(request.execution.id)
    assert node.containers() == []


async def test_the_registry_is_asked_once_an_hour(
    node: Node, pushed: Pushed, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    images = node.engine.connection.images
    monkeypatch.setattr(images, "_clock", clock)
    asked: list[Any] = []
    ask = images._daemon.api.inspect_distribution

    def counted(image: str, **options: Any) -> Any:
        asked.append(image)
        return ask(image, **options)

    monkeypatch.setattr(images._daemon.api, "inspect_distribution", counted)
    for seconds in (0, 3599, 2):
        clock.advance(seconds)
        assert (await node.engine.bid(execution_of({"Image": pushed.tagged}))).accepted
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("key", "value", "times"),
    [
        ("Engines.Types.Docker.ManifestCache.TTL", 3600.0, 1),
        ("Engines.Types.Docker.ManifestCache.TTL", 0.0, 3),
        ("Engines.Types.Docker.ManifestCache.Size", 0, 3),
    ],
)
async def test_the_configuration_says_how_long_and_how_many_platforms_are_kept(
    node: Node,
    pushed: Pushed,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    value: float,
    times: int,
) -> None:
    options = dataclasses.replace(node.options, settings={key: value}.get)
    engine = DockerEngine(options, env={"DOCKER_HOST": node.url})
    await engine.probe()
    images, asked = engine.connection.images, []
    ask = images._daemon.api.inspect_distribution

    def counted(image: str, **options: Any) -> Any:
        asked.append(image)
        return ask(image, **options)

    monkeypatch.setattr(images._daemon.api, "inspect_distribution", counted)
    try:
        for _ in range(3):
            assert (await engine.bid(execution_of({"Image": pushed.tagged}))).accepted
    finally:
        await engine.close()
    assert len(asked) == times


async def test_registries_that_do_not_answer_hold_up_no_other_task(node: Node, busybox_image: str) -> None:
    held: list[asyncio.StreamWriter] = []
    asked = asyncio.Event()

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        asked.set()

    silent = await asyncio.start_server(hold, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    images = [f"127.0.0.1:{port}/never:{number}" for number in range(2 * CALLS)]
    bids = [asyncio.create_task(node.engine.bid(execution_of({"Image": image}))) for image in images]
    try:
        await asyncio.wait_for(asked.wait(), 60)
        async with asyncio.timeout(60):
            assert (await node.run({"Image": busybox_image, "Parameters": ["echo", "on"]})).stdout == "on\n"
        assert not any(bid.done() for bid in bids)
    finally:
        for bid in bids:
            bid.cancel()
        async with asyncio.timeout(60):
            await asyncio.gather(*bids, return_exceptions=True)
        silent.close()
        for writer in held:
            writer.close()
