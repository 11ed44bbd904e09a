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
from benchmarks.harness import Row, Unavailable
from tests.engines.images.building import Built, build, directory, file, layer
from tests.services import docker_engine
from tests.services.common import ServiceUnavailableError
from tests.services.registry import Registry

MB = 1_000_000
RATIO = 1.2
HELD_US = 20_000.0
NAME = "bench/image"


def measure(quick: bool) -> list[Row]:
    """Measure with an image of 250 MB in five layers, 7 400 small files among them."""
    url = docker_engine.find()
    if url is None:
        raise Unavailable("no Docker Engine answers")
    with tempfile.TemporaryDirectory(prefix="bj-") as place:
        try:
            registry = Registry(Path(place), url)
        except ServiceUnavailableError as error:
            raise Unavailable(str(error)) from error
        try:
            return asyncio.run(_measure(registry, url, Path(place), quick=quick))
        finally:
            registry.close()


async def _measure(registry: Registry, url: str, place: Path, *, quick: bool) -> list[Row]:
    image = await asyncio.to_thread(_image, 0.1 if quick else 1.0)
    _push(registry.address, image)
    reference = f"{registry.address}/{NAME}:1"
    store = Images(place / "images", reach=Reach(("127.0.0.1",)))
    await store.open()
    ours, theirs, held = [], [], []
    try:
        for number in range(1 if quick else 3):
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
    finally:
        await store.close()
    size = sum(map(len, image.blobs.values())) / MB
    return [
        Row(
            f"pull and unpack {size:.0f} MB",
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
    source = random.Random(7)
    words = [source.randbytes(40) for _ in range(2000)]

    def content(size: int) -> bytes:
        # About half of it can be compressed away, as in programs and libraries.
        return b"".join(source.choice(words) + source.randbytes(24) for _ in range(size // 64))

    def small(top: str, count: int) -> bytes:
        places = [directory(top), *(directory(f"{top}/d{n}") for n in range(count // 50 + 1))]
        return layer(*places, *(file(f"{top}/d{n // 50}/f{n}", content(6400)) for n in range(count)))

    count, big = int(3700 * scale), int(79 * MB * scale)
    large = [layer(file(f"big{n}", content(big))) for n in range(3)]
    return build(small("usr", count), large[0], small("opt", count), *large[1:])


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
