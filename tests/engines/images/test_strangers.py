"""What strangers send: hostile layers, registries that lie, stall, cut, or lead elsewhere."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.engines.images.unpacking.layer import LayerUnpacker
from bacalhau_jupyter.engines.images.unpacking.orders import Owner
from bacalhau_jupyter.engines.images.unpacking.streams import LayerStream
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, Forbidden
from bacalhau_jupyter.transfer.core.reach import Reach
from tests.engines.images.building import (
    OCI,
    Built,
    Shelf,
    build,
    directory,
    file,
    layer,
    layers_of,
    link,
    serving,
    sha,
)
from tests.transfer.helpers import negative_size

PLAIN = layer(file("a", b"x" * 50_000))
HARD = {"type": tarfile.LNKTYPE}

HOSTILE: dict[str, tuple[bytes, str]] = {
    "a name that climbs": (layer(file("../evil")), "leads outside"),
    "a name that climbs in the middle": (layer(file("a/../../evil")), "leads outside"),
    "a file through a link": (layer(link("d", "/tmp"), file("d/evil")), "written through 'd'"),
    "a directory through a link": (layer(link("d", "/tmp"), directory("d/evil")), "written through 'd'"),
    "a file through a file": (layer(file("f"), file("f/evil")), "written through 'f'"),
    "a hard link out": (layer(link("h", "../../etc/passwd", **HARD)), "leads outside"),
    "a hard link to the host": (layer(link("h", "/etc/passwd", **HARD)), "no file of the image"),
    "a hard link to a directory": (layer(directory("d"), link("h", "d", **HARD)), "not a file"),
    "a whiteout of everything": (layer(file("d/.wh...")), "names nothing"),
    "a whiteout without a name": (layer(file(".wh.")), "names nothing"),
    "a directory that becomes a file": (layer(directory("d"), file("d/x"), file("d")), "'d' twice"),
    "a name that is too long": (layer(file("a" * 300)), "no file can have"),
    "a path that is too long": (layer(file("d/" * 1100 + "f")), "no file can have"),
    "more removals than can be kept": (
        layer(*(file(f"{'d' * 250}/.wh.{n:05}{'x' * 240}") for n in range(9000))),
        "more than can be kept in mind",
    ),
    "the end is missing": (PLAIN[:20_000], "broken"),
    "no tar at all": (b"hello" * 1000, "broken|not a tar header"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_layer_is_refused_and_nothing_is_kept(
    name: str, store: Images, shelf: Shelf, tmp_path: Path
) -> None:
    stream, reason = HOSTILE[name]

    with pytest.raises(BacalhauError, match=reason) as refused:
        await store.hold(shelf.put(build(stream)), "e-1")

    assert refused.value.code == "ImageRefused" and refused.value.fails_execution
    await store.clean()
    root = tmp_path / "images"
    assert not any(any((root / part).iterdir()) for part in ("layers", "images", "holders", "blobs", "work"))
    assert not (tmp_path / "evil").exists() and not Path("/tmp/evil").exists()
    assert await store.held("e-1") is None


async def test_links_of_an_image_lead_nowhere_on_this_host(store: Images, shelf: Shelf) -> None:
    outside = link("link", "/etc/hostname"), link("hard", "link", **HARD), file("link2/x")

    tree = (await store.hold(shelf.put(build(layer(*outside))), "e-1")).tree

    assert (tree / "link").is_symlink() and (tree / "hard").is_symlink()
    assert (tree / "link2/x").is_file()


WAYS = [f"way{number}" for number in range(12)]
"""Links of a lower layer to one directory; directories are read in any order, so that some come first."""
BENT = layer(directory("usr/lib"), *(link(way, "usr/lib") for way in WAYS))


async def test_a_layer_does_not_write_through_a_link_that_it_makes_meanwhile(
    store: Images, shelf: Shelf, tmp_path: Path
) -> None:
    victim = tmp_path / "images/victim"
    victim.joinpath("lib").mkdir(parents=True)
    victim.joinpath("lib/x").write_bytes(b"good")
    evil = layer(link("usr", str(victim)), *(file(f"{way}/x", b"evil") for way in WAYS))

    with contextlib.suppress(BacalhauError):
        await store.hold(shelf.put(build(BENT, evil)), "e-1")

    assert victim.joinpath("lib/x").read_bytes() == b"good" and len(list(victim.rglob("*"))) == 2


async def test_a_layer_gives_its_permissions_to_nothing_outside(
    store: Images, shelf: Shelf, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    evil = layer(directory("usr/lib/x", mode=0o777), *(link(f"{way}/x", str(secret)) for way in WAYS))

    with pytest.raises(BacalhauError, match="in the place of its own directory") as refused:
        await store.hold(shelf.put(build(BENT, evil)), "e-1")

    assert refused.value.code == "ImageRefused" and secret.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("has_pax", [False, True])
def test_a_file_of_negative_size_does_not_escape_the_quota(has_pax: bool, tmp_path: Path) -> None:
    path, target = tmp_path / "layer", tmp_path / "target"
    path.write_bytes(negative_size(has_pax=has_pax) + bytes(5_000_000))
    target.mkdir()

    with pytest.raises(tarfile.ReadError), LayerStream(path, lambda done: None) as stream:
        LayerUnpacker(stream, target, Owner(), max_bytes=100_000).unpack()

    assert sum(each.stat().st_size for each in target.iterdir()) == 0


async def test_many_files_are_unpacked(store: Images, shelf: Shelf) -> None:
    members = [file(f"d{number % 100}/f{number}") for number in range(20_000)]

    tree = (await store.hold(shelf.put(build(layer(*members))), "e-1")).tree

    assert sum(len(names) for _, _, names in os.walk(tree)) == 20_000


@pytest.mark.parametrize(
    "members", [[file("zeros", bytes(50_000_000))], [file(f"f{n}") for n in range(9000)]]
)
async def test_a_bomb_ends_at_the_quota(members: list[Any], tmp_path: Path, shelf: Shelf) -> None:
    images = Images(tmp_path / "i", reach=Reach(("127.0.0.1",)), env={}, home=tmp_path, quota=4_000_000)
    await images.open()
    try:
        with pytest.raises(BacalhauError, match=r"more than the 4\.0 MB") as refused:
            await images.hold(shelf.put(build(layer(*members))), "e-1")
        assert refused.value.code == "ImageTooLarge"
        assert not any((tmp_path / "i/work").iterdir())
    finally:
        await images.close()


@pytest.mark.parametrize("pack", ["none", "zstd", "gzip twice"])
async def test_layers_are_packed_in_several_ways(pack: str, store: Images, shelf: Shelf) -> None:
    packed: Callable[[bytes], bytes] = bytes
    if pack == "zstd":
        zstd = pytest.importorskip("backports.zstd")
        packed = zstd.compress
    elif pack == "gzip twice":
        # As parallel compressors write it: one stream of several members.
        def packed(data: bytes) -> bytes:
            return gzip.compress(data[:999]) + gzip.compress(data[999:])

    reference = shelf.put(build(PLAIN, pack=packed, kind="tar+zstd" if pack == "zstd" else "tar"))
    assert (await store.hold(reference, "e-1")).tree.joinpath("a").stat().st_size == 50_000


def lied(image: Built, **members: Any) -> bytes:
    return json.dumps({**json.loads(image.manifest), **members}).encode()


def tampered(image: Built) -> bytes:
    data = bytearray(image.blobs[layers_of(image)[0]["digest"]])
    data[9] ^= 1  # of the header: the contents stay whole
    return bytes(data)


LIES: dict[str, tuple[Callable[[Shelf, Built], None], str]] = {
    "a layer with other bytes": (
        lambda shelf, image: shelf.lies.update({layers_of(image)[0]["digest"]: tampered(image)}),
        "a layer has the digest",
    ),
    "a layer with more bytes": (
        lambda shelf, image: shelf.lies.update({layers_of(image)[0]["digest"]: bytes(1_000_000)}),
        "more bytes than",
    ),
    "a layer with fewer bytes": (
        lambda shelf, image: shelf.lies.update({layers_of(image)[0]["digest"]: gzip.compress(PLAIN)[:50]}),
        "bytes|broken",
    ),
    "other contents, well packed": (
        lambda shelf, image: shelf.lies.update(
            {layers_of(image)[0]["digest"]: gzip.compress(layer(file("evil")))}
        ),
        "a layer has",
    ),
    "another configuration": (
        lambda shelf, image: shelf.lies.update({image.image_id: b"{}"}),
        "its configuration is not what its digest",
    ),
    "a manifest that is no JSON": (
        lambda shelf, image: shelf.lies.update({"1": b"<html>"}),
        "not valid JSON",
    ),
    "a manifest that is a list": (lambda shelf, image: shelf.lies.update({"1": b"[]"}), "not valid JSON"),
    "a manifest without layers": (lambda shelf, image: shelf.lies.update({"1": b"{}"}), "no image"),
    "nesting without end": (lambda shelf, image: shelf.lies.update({"1": b"[" * 100_000}), "not valid JSON"),
    "a manifest of many megabytes": (
        lambda shelf, image: shelf.lies.update({"1": b" " * 5_000_000}),
        "more than 4,194,304 bytes",
    ),
    "a size that is negative": (
        lambda shelf, image: shelf.lies.update(
            {"1": lied(image, layers=[{**layers_of(image)[0], "size": -1}])}
        ),
        "has no size",
    ),
    "a digest that is a path": (
        lambda shelf, image: shelf.lies.update(
            {"1": lied(image, layers=[{**layers_of(image)[0], "digest": "sha256:../../../../etc/passwd"}])}
        ),
        "no SHA-256 digest",
    ),
    "layers of another kind": (
        lambda shelf, image: shelf.lies.update(
            {"1": lied(image, layers=[{**layers_of(image)[0], "mediaType": "application/x-wasm"}])}
        ),
        "holds no files to run",
    ),
    "more layers than its configuration has": (
        lambda shelf, image: shelf.lies.update({"1": lied(image, layers=layers_of(image) * 2)}),
        "disagree about its layers",
    ),
    "thousands of layers": (
        lambda shelf, image: shelf.lies.update({"1": lied(image, layers=layers_of(image) * 2000)}),
        "500 are the most",
    ),
    "a format of old": (
        lambda shelf, image: shelf.lies.update({"1": lied(image, schemaVersion=1, mediaType="")}),
        "before 2017",
    ),
}


@pytest.mark.parametrize("name", LIES)
async def test_a_registry_that_lies_is_found_out(name: str, store: Images, shelf: Shelf) -> None:
    image = build(PLAIN)
    reference = shelf.put(image)
    lie, reason = LIES[name]
    lie(shelf, image)

    with pytest.raises(BacalhauError, match=reason) as refused:
        await store.hold(reference, "e-1")

    assert refused.value.message.startswith("the image is refused")
    assert await store.images() == []


async def test_contents_other_than_the_configuration_says_are_refused(store: Images, shelf: Shelf) -> None:
    reference = shelf.put(build(PLAIN, diff_ids=[sha(b"something else")]))
    with pytest.raises(BacalhauError, match="the contents of a layer have the digest"):
        await store.hold(reference, "e-1")


async def test_another_manifest_than_was_asked_for_is_refused(store: Images, shelf: Shelf) -> None:
    image, other = build(PLAIN), build(layer(file("other")))
    shelf.put(other)
    shelf.lies[image.digest] = other.manifest
    with pytest.raises(BacalhauError, match="gave another manifest"):
        await store.hold(f"{shelf.address}/x@{image.digest}", "e-1")


@pytest.mark.parametrize(
    ("status", "hint"),
    [(404, "does not have it"), (403, "wants a login"), (429, "pull no more"), (418, "is it one?")],
)
async def test_a_registry_that_refuses_is_told_without_its_words(
    status: int, hint: str, store: Images, shelf: Shelf
) -> None:
    shelf.statuses["1"] = status
    with pytest.raises(EngineError, match="image not available") as refused:
        await store.find(f"{shelf.address}/x:1")
    assert refused.value.code == "ImageNotFound" and hint in refused.value.hint
    assert "html" not in refused.value.hint + refused.value.message


async def test_nobody_answers(store: Images, unused_tcp_port: int) -> None:
    with pytest.raises(EngineError, match="image not available") as refused:
        await store.find(f"127.0.0.1:{unused_tcp_port}/x")
    assert "can't be reached from this node" in refused.value.hint


async def test_an_image_for_other_machines_is_refused(store: Images, shelf: Shelf) -> None:
    with pytest.raises(EngineError, match=r"available image platforms \[linux/s390x\]"):
        await store.find(shelf.put(build(PLAIN, architecture="s390x")))
    entries = [
        {"mediaType": f"{OCI}.manifest.v1+json", "digest": sha(b"x"), "size": 1, "platform": place}
        for place in ({"os": "windows", "architecture": "amd64"}, {"os": "linux", "architecture": "mips"})
    ]
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries}
    ).encode()
    shelf.manifests["many"] = (index, f"{OCI}.index.v1+json")
    with pytest.raises(EngineError, match=r"\[windows/amd64 linux/mips\]") as refused:
        await store.find(f"{shelf.address}/x:many")
    assert refused.value.code == "ImagePlatform"


async def test_an_index_leads_to_the_manifest_of_this_machine(store: Images, shelf: Shelf) -> None:
    image = build(PLAIN)
    shelf.put(image)
    own = json.loads(image.config)
    kind = f"{OCI}.manifest.v1+json"
    entries: list[dict[str, Any]] = [
        {
            "mediaType": kind,
            "digest": sha(b"x"),
            "size": 1,
            "platform": {"os": "linux", "architecture": "mips"},
        },
        {
            "mediaType": kind,
            "digest": image.digest,
            "size": len(image.manifest),
            "platform": {"os": "linux", "architecture": own["architecture"]},
        },
        {
            "mediaType": kind,
            "digest": sha(b"y"),
            "size": 1,
            "platform": {"os": "unknown", "architecture": "unknown"},
        },
    ]
    index = json.dumps(
        {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries}
    ).encode()
    for key in ("many", sha(index)):
        shelf.manifests[key] = (index, f"{OCI}.index.v1+json")

    held = await store.hold(f"{shelf.address}/x@{sha(index)}", "e-1")

    assert held.image.digest == image.digest
    assert (await store.hold(f"{shelf.address}/x:many", "e-2")).tree == held.tree
    assert (await store.find(f"{shelf.address}/x@{sha(index)}")).is_here


async def test_what_jobs_may_not_name_is_no_registry_either(tmp_path: Path, shelf: Shelf) -> None:
    images = Images(tmp_path / "i", reach=Reach(), env={}, home=tmp_path)
    await images.open()
    try:
        for host in (shelf.address, "169.254.169.254", "[::1]:5000", "0x7f.1:80"):
            with pytest.raises(Forbidden, match="jobs may not name"):
                await images.find(f"{host}/x:1")
        assert shelf.asked == []
    finally:
        await images.close()


async def test_a_redirect_goes_without_the_login_and_not_where_jobs_may_not(
    store: Images, shelf: Shelf, home: Path
) -> None:
    image = build(PLAIN)
    with serving() as elsewhere:
        elsewhere.put(image)
        reference = shelf.put(image)
        digest = layers_of(image)[0]["digest"]
        shelf.login = "ali:open sesame"
        log_in(home, shelf)
        shelf.redirects[digest] = f"http://{elsewhere.address}/v2/x/blobs/{digest}"
        assert (await store.hold(reference, "e-1")).tree.is_dir()
        assert [header for _, header in elsewhere.asked] == [""]
        other = build(layer(file("b")))
        reference = shelf.put(other, "2")
        shelf.redirects[layers_of(other)[0]["digest"]] = "http://169.254.169.254/latest/meta-data/"
        with pytest.raises(Forbidden, match="jobs may not name"):
            await store.hold(reference, "e-2")


def log_in(home: Path, shelf: Shelf) -> None:
    login = base64.b64encode(shelf.login.encode()).decode()
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps({"auths": {shelf.address: {"auth": login}}}))


@pytest.mark.parametrize("token", ["", "t0ken"])
async def test_logins_of_docker_are_used(token: str, store: Images, shelf: Shelf, home: Path) -> None:
    reference = shelf.put(build(PLAIN))
    shelf.login, shelf.token = "ali:open sesame", token
    if not token:
        with pytest.raises(EngineError) as refused:
            await store.find(reference)
        assert f"docker login {shelf.address}" in refused.value.hint
    log_in(home, shelf)

    await store.hold(reference, "e-1")

    asked_for_tokens = [header for path, header in shelf.asked if path == "/token"]
    basic = f"Basic {base64.b64encode(b'ali:open sesame').decode()}"
    assert asked_for_tokens == ([basic] if token else [])


async def test_a_token_may_come_in_pieces(store: Images, shelf: Shelf) -> None:
    shelf.token, shelf.padding = "t0ken", "x" * 900_000

    assert (await store.find(shelf.put(build(PLAIN)))).size


async def test_a_token_whose_time_is_over_is_renewed(store: Images, shelf: Shelf) -> None:
    image = build(PLAIN)
    reference = shelf.put(image)
    shelf.token = "first"
    await store.find(reference)
    shelf.token = "second"

    assert (await store.hold(reference, "e-1")).tree.is_dir()


async def test_zstd_without_its_package_is_told(store: Images, shelf: Shelf, monkeypatch: Any) -> None:
    from bacalhau_jupyter.engines.images.unpacking import streams
    from bacalhau_jupyter.models.errors import ConfigurationError

    zstd = pytest.importorskip("backports.zstd")
    monkeypatch.setitem(__import__("sys").modules, "backports", None)
    with pytest.raises(ConfigurationError, match="compressed with zstd") as raised:
        path = Path(store._files.root / "blob")
        path.write_bytes(zstd.compress(PLAIN))
        streams.LayerStream(path, lambda done: None)
    assert "bacalhau-jupyter[images]" in raised.value.hint


def test_layers_are_read_in_any_pieces(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    path = tmp_path / "layer"
    path.write_bytes(gzip.compress(data, 1))
    with LayerStream(path, lambda done: None) as stream:
        read = io.BytesIO()
        for size in (1, 512, 1 << 20, 7, (1 << 20) + 3, -1):
            read.write(stream.read(size))
        stream.finish()
    assert read.getvalue() == data and f"sha256:{stream.diff_id}" == sha(data)
    assert f"sha256:{stream.digest}" == sha(path.read_bytes())


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small disk")
async def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, shelf: Shelf) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)], check=True)
    images = Images(small / "images", reach=Reach(("127.0.0.1",)), env={}, home=tmp_path, quota=1 << 40)
    try:
        await images.open()
        first = shelf.put(build(layer(file("a", os.urandom(2_000_000)))), "1")
        await images.hold(first, "e-1")
        await images.release("e-1")
        # While unpacking (zeros pack well), and while downloading.
        for number, content in enumerate((bytes(8_000_000), os.urandom(8_000_000))):
            too_large = shelf.put(build(layer(file("b", content))), f"large{number}")
            with pytest.raises(BacalhauError, match="disk is full"):
                await images.hold(too_large, "e-2")
            assert not any((small / "images/work").iterdir()) and not any((small / "images/blobs").iterdir())
        # What nobody used made room, which was not enough; the store works on.
        assert await images.images() == []
        await images.hold(first, "e-1")
        fits = shelf.put(build(layer(file("c", os.urandom(1_500_000)))), "2")
        assert (await images.hold(fits, "e-3")).tree.is_dir()
    finally:
        await images.close()
        subprocess.run(["umount", "-l", str(small)], check=True)
