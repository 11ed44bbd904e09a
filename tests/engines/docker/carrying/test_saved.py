"""A saved image without some of its layers: streams of a real engine, in both forms that engines write."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker.carrying.plan import Image
from bacalhau_jupyter.engines.docker.carrying.saved import Thinner
from tests.engines.docker.carrying.conftest import Layered, add_layer


def chunks(data: bytes, size: int = 1000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            member.name: file.read() if (file := tar.extractfile(member)) else b""
            for member in tar
            if not member.issym()
        }


def saved(api: Any, name: str) -> tuple[bytes, Image, list[str]]:
    """Return the saved image, and the diff ID of each of its layer files, in the manifest's order."""
    data = b"".join(api.get_image(name))
    image = Image.of(api.inspect_image(name))
    return data, image, [str(path) for path in json.loads(members(data)["manifest.json"])[0]["Layers"]]


def newer_form(data: bytes) -> bytes:
    """Write a saved image as Docker Engine 25 does: everything is a blob, named by its digest."""
    files = members(data)
    manifest = json.loads(files["manifest.json"])[0]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        blobs = {
            f"blobs/sha256/{hashlib.sha256(files[path]).hexdigest()}": files[path]
            for path in manifest["Layers"]
        }
        layers = [f"blobs/sha256/{hashlib.sha256(files[path]).hexdigest()}" for path in manifest["Layers"]]
        config = f"blobs/sha256/{hashlib.sha256(files[manifest['Config']]).hexdigest()}"
        for name, content in sorted({**blobs, config: files[manifest["Config"]]}.items()):
            add(name, content)
        add("index.json", b'{"schemaVersion": 2, "manifests": []}')
        add("manifest.json", json.dumps([{**manifest, "Config": config, "Layers": layers}]).encode())
        add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
    return packed.getvalue()


@pytest.mark.docker
@pytest.mark.parametrize("newer", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_exactly_the_layers_are_left_out_that_are_there(
    api: Any, layered: Layered, newer: bool, number: int
) -> None:
    data, image, files = saved(api, layered(3000, 70_000, 10))
    if newer:
        data = newer_form(data)
        files = [f"blobs/{layer.replace(':', '/')}" for layer in image.layers]
    before, sizes = members(data), list[int]()
    after = members(
        b"".join(Thinner(image.layers, set(image.layers[:number]), sizes.append).blocks(chunks(data)))
    )
    assert set(before) - set(after) == set(files[:number])
    assert (sizes and sum(sizes) == sum(len(before[path]) for path in files[:number])) or not number
    assert all(before[path] == content for path, content in after.items())


@pytest.mark.docker
def test_an_image_is_passed_on_as_it_is_where_nothing_is_left_out(api: Any, layered: Layered) -> None:
    data, image, _ = saved(api, layered(5000))
    assert members(b"".join(Thinner(image.layers, (), lambda _: None).blocks(chunks(data)))) == members(data)


@pytest.mark.docker
def test_a_layer_whose_place_cannot_be_told_is_sent(api: Any, layered: Layered) -> None:
    data, image, files = saved(api, layered(5000))
    # The same image, had an engine made its directories' names by another rule.
    renamed = data
    for path in files:
        folder = path.partition("/")[0]
        renamed = renamed.replace(folder.encode(), hashlib.sha256(folder.encode()).hexdigest().encode())
    fixed = _with_right_checksums(renamed)
    after = members(b"".join(Thinner(image.layers, set(image.layers), lambda _: None).blocks(chunks(fixed))))
    assert sum(name.endswith("/layer.tar") for name in after) == len(files)


@pytest.mark.docker
def test_a_stream_that_ends_early_is_an_error(api: Any, layered: Layered) -> None:
    data, image, _ = saved(api, layered(500_000))
    with pytest.raises(tarfile.TarError):
        list(Thinner(image.layers, (), lambda _: None).blocks(chunks(data[: len(data) // 2])))


@pytest.mark.docker
def test_a_large_layer_is_never_in_memory(api: Any, busybox_image: str, layered: Layered) -> None:
    name = layered(10)
    add_layer(api, name, name, 40_000_000)
    image = Image.of(api.inspect_image(name))
    tracemalloc.start()
    try:
        sent = sum(map(len, Thinner(image.layers, (), lambda _: None).blocks(api.get_image(name))))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # What the SDK hands out is 2 MB at a time.
    assert sent > 40_000_000 and peak < 12_000_000


def _with_right_checksums(data: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as out:
        at = 0
        while at + 512 <= len(data) and any(data[at : at + 512]):
            header = bytearray(data[at : at + 512])
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            member = tarfile.TarInfo.frombuf(bytes(header), "utf-8", "surrogateescape")
            out.addfile(member, io.BytesIO(data[at + 512 : at + 512 + member.size]))
            at += 512 + (member.size + 511) // 512 * 512
    return packed.getvalue()
