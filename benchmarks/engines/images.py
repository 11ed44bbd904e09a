"""An image from a registry of this machine to files on the disk, beside ``docker pull`` of the same one."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.transfer.core.reach import Reach
from benchmarks.harness import Row, docker_url, needing_services
from tests.engines.images.building import Built, build, directory, file, layer
from tests.services.registry import Registry

MB = 1_000_000
RATIO = 1.2
HELD_US = 20_000.0
NAME = "bench/image"


def measure(quick: bool) -> list[Row]:
    """Measure with an image of 250 MB in five layers, 7 400 small files among them, and one of 22 000 small files."""
    url = docker_url()
    with tempfile.TemporaryDirectory(prefix="bj-") as place:
        with needing_services():
            registry = Registry(Path(place), url)
        try:
            return asyncio.run(_measure(registry, url, Path(place), quick=quick))
        finally:
            registry.close()


async def _measure(registry: Registry, url: str, place: Path, *, quick: bool) -> list[Row]:
    scale = 0.1 if quick else 1.0
    whole = await asyncio.to_thread(_image, scale)
    files = await asyncio.to_thread(lambda: build(_small("usr", int(22_000 * scale), 1600)))
    size = sum(map(len, whole.blobs.values())) / MB
    store = Images(place / "images", reach=Reach(("127.0.0.1",)))
    await store.open()
    rounds = 1 if quick else 3
    try:
        return [
            *await _pulls(registry, store, url, whole, f"pull and unpack {size:.0f} MB", rounds),
            *(
                await _pulls(
                    registry, store, url, files, f"… {22_000 * scale:,.0f} small files in a layer", rounds
                )
            )[:1],
        ]
    finally:
        await store.close()


async def _pulls(
    registry: Registry, store: Images, url: str, image: Built, title: str, rounds: int
) -> list[Row]:
    _push(registry.address, image)
    reference = f"{registry.address}/{NAME}:1"
    ours, theirs, held = [], [], []
    for number in range(rounds):
        started = time.monotonic()
        await store.hold(reference, f"e-{number}")
        ours.append(time.monotonic() - started)
        started = time.monotonic()
        await store.hold(reference, "e-again")
        held.append(time.monotonic() - started)
        for holder in (f"e-{number}", "e-again"):
            await store.release(holder)
        await store.clean()
        theirs.append(await asyncio.to_thread(_docker_pull, url, reference))
    return [
        Row(
            title,
            min(ours),
            "s",
            min(theirs),
            "docker pull",
            target=RATIO,
            target_is_ratio=True,
        ),
        Row("an image that is here", statistics.median(held) * 1e6, "µs", target=HELD_US),
    ]


def _image(scale: float) -> Built:
    count, big = int(3700 * scale), int(79 * MB * scale)
    large = [layer(file(f"big{n}", _content(big, n))) for n in range(3)]
    return build(_small("usr", count, 6400), large[0], _small("opt", count, 6400), *large[1:])


def _content(size: int, seed: int) -> bytes:
    # About half of it can be compressed away, as in programs and libraries.
    source = random.Random(seed)
    words = [source.randbytes(40) for _ in range(2000)]
    return b"".join(source.choice(words) + source.randbytes(24) for _ in range(size // 64))


def _small(top: str, count: int, size: int) -> bytes:
    places = [directory(top), *(directory(f"{top}/d{n}") for n in range(count // 50 + 1))]
    content = _content(4 * MB, 7)
    # Far enough from each other that no compression sees the same twice.
    starts = (n * 40_009 % (len(content) - size) for n in range(count))
    spans = (content[start : start + size] for start in starts)
    return layer(*places, *(file(f"{top}/d{n // 50}/f{n}", span) for n, span in enumerate(spans)))


def _push(address: str, image: Built) -> None:
    for digest, data in image.blobs.items():
        begun = _ask(address, "POST", f"/v2/{NAME}/blobs/uploads/", b"")
        place = urlsplit(begun)
        _ask(address, "PUT", f"{place.path}?{place.query}&digest={digest}", data)
    kind = str(json.loads(image.manifest)["mediaType"])
    _ask(address, "PUT", f"/v2/{NAME}/manifests/1", image.manifest, kind)


def _ask(address: str, method: str, path: str, data: bytes, kind: str = "application/octet-stream") -> str:
    connection = http.client.HTTPConnection(address, timeout=120)
    try:
        connection.request(method, path, data, {"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: HTTP {answer.status}")
        return answer.headers.get("Location", "")
    finally:
        connection.close()


def _docker_pull(url: str, reference: str) -> float:
    docker = ["docker", "-H", url]
    try:
        started = time.monotonic()
        subprocess.run(
            [*docker, "pull", "-q", reference], check=True, stdout=subprocess.DEVNULL, env=os.environ
        )
        return time.monotonic() - started
    finally:
        subprocess.run([*docker, "rmi", reference], check=False, stdout=subprocess.DEVNULL)
