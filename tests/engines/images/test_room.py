"""Pulls that go on at once have one quota."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.images.keeping.claims import Claims
from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.models.errors import IOFailure
from tests.engines.images.building import Built, Shelf, build, file, layer
from tests.engines.images.conftest import LOOPBACK
from tests.services.waiting import until

QUOTA = 4_000_000


@pytest.fixture
async def small(tmp_path: Path, home: Path) -> AsyncIterator[Images]:
    """A store with room for one image of the tests."""
    images = Images(tmp_path / "i", reach=LOOPBACK, env={}, home=home, quota=QUOTA, timeout_s=60.0)
    await images.open()
    yield images
    await images.close()


def noise(size: int) -> Built:
    return build(layer(file("noise", os.urandom(size))))


async def test_a_pull_claims_what_its_manifest_announces(small: Images, shelf: Shelf) -> None:
    slow, other = noise(2_500_000), noise(2_500_000)
    references = shelf.put(slow, "slow"), shelf.put(other, "other")
    shelf.stalls |= set(slow.blobs) - {slow.image_id}
    pull = asyncio.create_task(small.hold(references[0], "e-1"))
    await until(lambda: any(shelf.count(digest) for digest in shelf.stalls))

    with pytest.raises(IOFailure, match=r"in use or being fetched would take 5\.0 MB") as refused:
        await small.hold(references[1], "e-2")

    assert refused.value.code == "ImageTooLarge" and refused.value.retryable
    assert not any(shelf.count(digest) for digest in set(other.blobs) - {other.image_id})
    pull.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pull
    assert (await small.hold(references[1], "e-2")).tree.is_dir()


async def test_a_layer_that_two_pulls_share_is_claimed_once(small: Images, shelf: Shelf) -> None:
    base = layer(file("noise", os.urandom(2_500_000)))
    pair = [build(base, layer(file(name))) for name in ("a", "b")]
    references = [shelf.put(image, str(number)) for number, image in enumerate(pair)]

    held = await asyncio.gather(*(small.hold(each, each) for each in references))

    assert all(each.tree.joinpath("noise").is_file() for each in held)


async def test_a_bomb_ends_where_it_takes_the_room_of_another_pull(
    small: Images, shelf: Shelf, tmp_path: Path
) -> None:
    slow, bomb = noise(2_500_000), build(layer(file("zeros", bytes(3_000_000))))
    references = shelf.put(slow, "slow"), shelf.put(bomb, "bomb")
    shelf.stalls |= set(slow.blobs) - {slow.image_id}
    pull = asyncio.create_task(small.hold(references[0], "e-1"))
    await until(lambda: any(shelf.count(digest) for digest in shelf.stalls))

    with pytest.raises(IOFailure, match="in use or being fetched would take"):
        await small.hold(references[1], "e-2")

    assert not any((tmp_path / "i/work").iterdir()) and small.size == 0
    pull.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await pull
    assert (await small.hold(references[1], "e-2")).tree.is_dir()


async def test_images_that_nobody_uses_go_while_another_is_unpacked(small: Images, shelf: Shelf) -> None:
    await small.hold(shelf.put(build(layer(file("zeros", bytes(3_000_000)))), "1"), "e-1")
    await small.release("e-1")
    files = [file(f"f{number}", bytes(1_200_000)) for number in range(3)]
    broken = build(layer(*files), diff_ids=[f"sha256:{'0' * 64}"])

    with pytest.raises(IOFailure, match="the contents of a layer have the digest"):
        await small.hold(shelf.put(broken, "2"), "e-2")

    assert await small.images() == []


def test_claims_end_with_the_last_pull_and_with_the_layer() -> None:
    claims = Claims()
    with claims.holding({"a": 10, "b": 5}):
        with claims.holding({"a": 10}):
            claims.grown("a", 30)
            assert (claims.size, claims.unpacked) == (35, 30)
            claims.failed("a")
        assert (claims.size, claims.unpacked) == (15, 0)
        claims.settle("b")
        assert claims.size == 10
    assert claims.size == 0
