"""Registries that stall, trickle or break off: a pull waits for them in bounded time, and says how slow they were."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.models.errors import EngineError
from tests.engines.images.building import Shelf, build, file, layer, layers_of
from tests.engines.images.conftest import LOOPBACK

PLAIN = layer(file("a", b"x" * 50_000))


@pytest.fixture
async def store(tmp_path: Path, home: Path) -> AsyncIterator[Images]:
    """A store that does not wait for long."""
    images = Images(tmp_path / "images", reach=LOOPBACK, env={}, home=home, timeout_s=2.0)
    await images.open()
    yield images
    await images.close()


async def test_a_registry_that_stalls_is_left_in_the_end(store: Images, shelf: Shelf) -> None:
    image = build(PLAIN)
    reference = shelf.put(image)
    shelf.stalls.add(layers_of(image)[0]["digest"])
    with pytest.raises(EngineError, match="image not available") as refused:
        await store.hold(reference, "e-1")
    assert "sent nothing for 2 s" in refused.value.hint and refused.value.retryable


@pytest.mark.parametrize(
    ("slow", "figures"),
    [
        ("layer", r"sent only \d+ B in \d+ s, where \d+(\.\d)? kB are the least \(tried 4 times\)"),
        ("1", r"it sent only \d+ B in \d+ s, where \d+(\.\d)? kB are the least"),
        ("token", r"it sent only \d+ B in \d+ s, where \d+(\.\d)? kB are the least"),
        ("head:1", "it sent no whole answer for 4 s"),
        ("head:layer", r"sent no whole answer for 4 s \(tried 4 times\)"),
    ],
)
async def test_a_registry_that_sends_a_byte_now_and_then_is_left_in_the_end(
    slow: str, figures: str, store: Images, shelf: Shelf
) -> None:
    image = build(PLAIN)
    reference = shelf.put(image)
    shelf.trickles.add(slow.replace("layer", layers_of(image)[0]["digest"]))
    if slow == "token":
        shelf.token, shelf.realm = "t", f"http://{shelf.address}/token"
    with pytest.raises(EngineError, match="image not available") as refused:
        await store.hold(reference, "e-1")
    assert refused.value.hint.startswith(f"The registry {shelf.address} is too slow (")
    assert re.search(figures, refused.value.hint), refused.value.hint
    assert refused.value.retryable


async def test_a_download_that_breaks_off_goes_on(store: Images, shelf: Shelf) -> None:
    image = build(PLAIN)
    reference = shelf.put(image)
    shelf.cuts.add(layers_of(image)[0]["digest"])
    assert (await store.hold(reference, "e-1")).tree.is_dir()
