"""Content to and from a real IPFS node (Kubo), hostile and broken content too."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, IOFailure, NetworkFailure, NotFound, TimedOut
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.transfer.ipfs import tree as ipfs_tree
from bacalhau_jupyter.transfer.ipfs.add import add_directory
from bacalhau_jupyter.transfer.ipfs.get import Fetched, IpfsDownload
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode, is_local
from bacalhau_jupyter.transfer.ipfs.paths import parse_path
from bacalhau_jupyter.transfer.ipfs.tree import list_tree
from tests.services.http_server import BadHttpServer
from tests.services.kubo import KuboNode, cut
from tests.transfer.helpers import names, small_disk, tree

MISSING = "QmZ4tDuvesekSs4qM5ZBKpXiZGun7S2CYtEZRB3DYXkjGx"
EMPTY_DIRECTORY = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"


def content(root: Path) -> Path:
    """Everything that a directory in IPFS can hold."""
    source = root / "source"
    (source / "deep/er/é 日本").mkdir(parents=True)
    (source / "empty").mkdir()
    (source / "deep/er/é 日本" / "a+b&c?%.txt").write_bytes(b"odd")
    (source / ("n" * 200)).write_bytes(b"a long name")
    (source / "deep" / ("ü" * 120)).write_bytes(b"a long name that is no ASCII")
    (source / "nothing").touch()
    (source / ".hidden").write_bytes(b"hidden")
    (source / "big").write_bytes(os.urandom(3_000_000))
    (source / "link").symlink_to("deep/er")
    (source / "deep/up").symlink_to("../big")
    return source


async def fetch(
    endpoint: str, cid: str, target: Path, reports: list[Reading] | None = None, **options: Any
) -> Fetched:
    async with IpfsNode(endpoint, "Test", **options) as node:
        progress: Progress = no_progress if reports is None else reports.append
        return await IpfsDownload(node, progress=progress).fetch(parse_path(cid, "Test"), target)


def without_modes(entries: dict[str, tuple[str, object, int]]) -> dict[str, tuple[str, object]]:
    return {name: (kind, data) for name, (kind, data, _) in entries.items()}


def dag(node: KuboNode, *links: tuple[str, str], data: str = "CAE") -> str:
    """Make a directory by hand, with any names; return its CID."""
    made = {
        "Data": {"/": {"bytes": data}},
        "Links": [{"Hash": {"/": cid}, "Name": name, "Tsize": 1} for name, cid in links],
    }
    done = subprocess.run(
        [str(node.binary), "dag", "put", "--store-codec=dag-pb", "--input-codec=dag-json"],
        input=json.dumps(made).encode(),
        env=node.env,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return done.stdout.decode().strip()


async def test_a_directory_goes_in_and_out_as_it_was(tmp_path: Path, kubo: KuboNode) -> None:
    source = content(tmp_path)
    async with IpfsNode(kubo.endpoint, "Test") as node:
        cid = await add_directory(node, source)
        assert await add_directory(node, source) == cid
    # The same CID as the official command makes, and pinned.
    assert kubo.add(source, "--pin=false") == cid
    assert kubo.pinned(cid)
    reports: list[Reading] = []
    fetched = await fetch(kubo.endpoint, cid, tmp_path / "out", reports)
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    assert fetched == Fetched(directory=True, files=6, size=size)
    assert without_modes(tree(tmp_path / "out")) == without_modes(tree(source))
    for kind, _, mode in tree(tmp_path / "out").values():
        assert kind == "link" or mode == {"file": 0o644, "directory": 0o755}[kind]
    assert reports[-1] == Reading("downloading", size, size, 6, 6)
    assert [it.done for it in reports] == sorted(it.done for it in reports)


async def test_a_file_and_a_path_below_a_cid_are_fetched(tmp_path: Path, kubo: KuboNode) -> None:
    source = content(tmp_path)
    cid = kubo.add(source)
    file = kubo.add(source / "big")
    assert await fetch(kubo.endpoint, file, tmp_path / "file") == Fetched(False, 1, 3_000_000)
    assert (tmp_path / "file").read_bytes() == (source / "big").read_bytes()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    await fetch(kubo.endpoint, f"{cid}/deep/er/é 日本/a+b&c?%.txt", tmp_path / "odd")
    assert (tmp_path / "odd").read_bytes() == b"odd"
    assert await fetch(kubo.endpoint, f"{cid}/deep/er", tmp_path / "er") == Fetched(True, 1, 3)
    assert await fetch(kubo.endpoint, f"{cid}/empty", tmp_path / "empty") == Fetched(True, 0, 0)
    assert await fetch(kubo.endpoint, f"{cid}/nothing", tmp_path / "nothing") == Fetched(False, 1, 0)
    with pytest.raises(NotFound, match="there is no 'no such' in the IPFS content"):
        await fetch(kubo.endpoint, f"{cid}/no such", tmp_path / "none")
    with pytest.raises(IOFailure, match="it is a link, not a file or directory"):
        await fetch(kubo.endpoint, f"{cid}/link", tmp_path / "none")
    assert not (tmp_path / "none").exists()


async def test_content_that_nobody_has_is_given_up_in_time(tmp_path: Path, kubo: KuboNode) -> None:
    async with asyncio.timeout(60):
        with pytest.raises(TimedOut) as caught:
            await fetch(kubo.endpoint, MISSING, tmp_path / "out", read_timeout_s=0.5)
    assert caught.value.message == (
        f'IPFS storage provider was unable to retrieve content "{MISSING}" before timeout 500ms'
    )


async def test_a_directory_of_which_parts_are_missing_is_given_up_in_time(
    tmp_path: Path, kubo: KuboNode
) -> None:
    (tmp_path / "here").write_bytes(b"1")
    partial = dag(kubo, ("gone", MISSING), ("here", kubo.add(tmp_path / "here")))
    async with asyncio.timeout(60):
        with pytest.raises(TimedOut):
            await fetch(kubo.endpoint, partial, tmp_path / "out", read_timeout_s=0.5)
    assert not (tmp_path / "out").exists()


async def test_a_list_that_breaks_off_is_never_taken_for_the_whole(
    tmp_path: Path, own_kubo: KuboNode
) -> None:
    (tmp_path / "here").write_bytes(b"1")
    partial = dag(own_kubo, ("a", own_kubo.add(tmp_path / "here")), ("gone", MISSING))
    own_kubo.close()
    # It says at once that a block is missing, in the middle of its answer.
    own_kubo.start("--offline")
    async with asyncio.timeout(60), IpfsNode(own_kubo.endpoint, "Test") as node:
        path = parse_path(partial, "Test")
        with pytest.raises(NetworkFailure, match="stopped listing"):
            await list_tree(node, path, await node.stat(path))
        with pytest.raises(NetworkFailure, match="stopped listing"):
            await IpfsDownload(node, max_retries=0).fetch(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


async def test_content_on_the_node_is_found_without_the_network(tmp_path: Path, kubo: KuboNode) -> None:
    (tmp_path / "file").write_bytes(os.urandom(600_000))
    whole = kubo.add(tmp_path / "file")
    partial = dag(kubo, ("gone", MISSING), ("here", whole))
    async with asyncio.timeout(60), IpfsNode(kubo.endpoint, "Test") as node:
        assert await is_local(node, parse_path(whole, "Test"))
        assert not await is_local(node, parse_path(MISSING, "Test"))
        assert not await is_local(node, parse_path(partial, "Test"))
        assert await is_local(node, parse_path(f"{partial}/here", "Test"))


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../../etc/cron.d/x", "/etc/passwd"])
async def test_names_that_lead_outside_are_refused(tmp_path: Path, kubo: KuboNode, name: str) -> None:
    (tmp_path / "file").write_bytes(b"1")
    hostile = dag(kubo, (name, kubo.add(tmp_path / "file")))
    with pytest.raises(IOFailure, match=r"is refused: (its root holds|it holds) the name"):
        await fetch(kubo.endpoint, hostile, tmp_path / "out")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("link", "target"), [("l", "/etc/passwd"), ("l", "../x"), ("d/l", "../../x"), ("d/l", "a/../../../x")]
)
async def test_links_that_lead_outside_are_refused(
    tmp_path: Path, kubo: KuboNode, link: str, target: str
) -> None:
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / link).symlink_to(target)
    with pytest.raises(IOFailure, match=rf"the link '{link}' points outside, to '{target}'"):
        await fetch(kubo.endpoint, kubo.add(source), tmp_path / "out")
    assert names(tmp_path) == ["source"]


async def test_a_name_that_stands_twice_is_refused(tmp_path: Path, kubo: KuboNode) -> None:
    (tmp_path / "one").write_bytes(b"1")
    (tmp_path / "link").symlink_to("one")
    twice = dag(kubo, ("x", kubo.add(tmp_path / "link")), ("x", kubo.add(tmp_path / "one")))
    with pytest.raises(IOFailure, match="it holds 'x' twice"):
        await fetch(kubo.endpoint, twice, tmp_path / "out")


async def test_a_few_blocks_that_stand_for_billions_of_files_are_refused(
    tmp_path: Path, kubo: KuboNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipfs_tree, "MAX_ENTRIES", 10_000)
    (tmp_path / "file").write_bytes(b"1")
    bomb = kubo.add(tmp_path / "file")
    for _ in range(8):
        bomb = dag(kubo, *((f"{number:02}", bomb) for number in range(16)))
    async with asyncio.timeout(60):
        with pytest.raises(IOFailure, match="more than 10000 entries"):
            await fetch(kubo.endpoint, bomb, tmp_path / "out")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.97])
async def test_a_cut_connection_continues_where_it_broke(
    tmp_path: Path, kubo: KuboNode, share: float
) -> None:
    source = content(tmp_path)
    (source / "zz").write_bytes(os.urandom(9_000_000))
    cid = kubo.add(source)
    with cut(kubo, after=int(12_000_000 * share), cuts=1) as (endpoint, proxy):
        fetched = await fetch(endpoint, cid, tmp_path / "out")
    assert proxy.cut == 1
    assert fetched.size > 12_000_000
    assert without_modes(tree(tmp_path / "out")) == without_modes(tree(source))
    offsets = [head.split(b"offset=")[1].split(b" ")[0] for head in proxy.heads if b"/cat?" in head]
    # A file that was begun is not begun again.
    assert any(int(offset) > 0 for offset in offsets) or share > 0.9


async def test_a_file_is_resumed_at_its_offset(tmp_path: Path, kubo: KuboNode) -> None:
    (tmp_path / "file").write_bytes(os.urandom(10_000_000))
    cid = kubo.add(tmp_path / "file")
    reports: list[Reading] = []
    with cut(kubo, after=3_000_000, cuts=2) as (endpoint, proxy):
        await fetch(endpoint, cid, tmp_path / "out", reports)
    assert proxy.cut == 2
    assert (tmp_path / "out").read_bytes() == (tmp_path / "file").read_bytes()
    offsets = [int(head.split(b"offset=")[1].split(b" ")[0]) for head in proxy.heads if b"/cat?" in head]
    assert offsets[0] == 0 < offsets[1] < offsets[2]
    # Every byte was counted once.
    assert reports[-1].done == 10_000_000


async def test_a_connection_that_always_breaks_is_given_up(tmp_path: Path, kubo: KuboNode) -> None:
    (tmp_path / "file").write_bytes(os.urandom(1_000_000))
    cid = kubo.add(tmp_path / "file")
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    with cut(kubo, after=1_000_000, cuts=0) as (endpoint, proxy):
        async with IpfsNode(endpoint, "Test") as node:
            path = parse_path(cid, "Test")
            await node.stat(path)
            # From here on nothing but the head of an answer comes through.
            proxy._after, proxy._left = 300, 100
            with pytest.raises(NetworkFailure):
                await IpfsDownload(node, max_retries=2, sleep=sleep)._file(path, 1_000_000, tmp_path / "out")
    assert len(waits) >= 2


async def test_a_node_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkFailure, match=r"/ip4/127\.0\.0\.1/tcp/9 can't be reached"):
        await fetch("/ip4/127.0.0.1/tcp/9", EMPTY_DIRECTORY, tmp_path / "out")


async def test_a_server_that_is_not_an_ipfs_node_is_reported(
    tmp_path: Path, http_server: BadHttpServer
) -> None:
    port = http_server.url.rstrip("/").rpartition(":")[2]
    with pytest.raises(BacalhauError, match="is not the RPC API of an IPFS node"):
        await fetch(f"/ip4/127.0.0.1/tcp/{port}", EMPTY_DIRECTORY, tmp_path / "out")


async def test_content_that_is_not_files_is_refused_in_a_sentence(tmp_path: Path, kubo: KuboNode) -> None:
    done = subprocess.run(
        [str(kubo.binary), "dag", "put"], input=b'{"a": 1}', env=kubo.env, capture_output=True, check=True
    )
    with pytest.raises(BacalhauError) as caught:
        await fetch(kubo.endpoint, done.stdout.decode().strip(), tmp_path / "out")
    assert "\n" not in caught.value.message


async def test_a_disk_without_room_is_reported_before_the_download_starts(
    tmp_path: Path, kubo: KuboNode
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_bytes(os.urandom(3_000_000))
    cid = kubo.add(tmp_path / "source")
    with small_disk(tmp_path / "disk") as disk:
        with pytest.raises(IOFailure, match=r"the disk is full: .*3\.0 MB needed"):
            await fetch(kubo.endpoint, cid, disk / "out")
        assert names(disk) == []


async def test_a_large_sharded_directory_is_listed_and_fetched(tmp_path: Path, kubo: KuboNode) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(6000):
        (source / f"a file with quite a long name, number {number:06}").write_bytes(b"%d" % number)
    cid = kubo.add(source)
    async with IpfsNode(kubo.endpoint, "Test") as node:
        path = parse_path(cid, "Test")
        listed = await list_tree(node, path, await node.stat(path))
    assert len(listed.files) == 6000
    # Big enough that Kubo spreads it over several blocks.
    assert kubo.run("refs", "--format=<linkname>", cid).startswith("0")
    await fetch(kubo.endpoint, cid, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(source)


async def test_links_among_results_are_made_whole_and_others_refused(tmp_path: Path, kubo: KuboNode) -> None:
    results = tmp_path / "results"
    (results / "outputs").mkdir(parents=True)
    (results / "outputs/file").write_bytes(b"1")
    (results / "outputs/inside").symlink_to("/outputs/file")
    async with IpfsNode(kubo.endpoint, "Test") as node:
        cid = await add_directory(node, results, aliases={"/outputs": "outputs"})
        await fetch(kubo.endpoint, cid, tmp_path / "out")
        assert (tmp_path / "out/outputs/inside").readlink() == Path("file")
        (results / "outputs/outside").symlink_to("/etc/passwd")
        with pytest.raises(IOFailure, match="the link outputs/outside points outside"):
            await add_directory(node, results, aliases={"/outputs": "outputs"})


async def test_a_name_that_is_not_utf_8_is_escaped_and_a_pipe_left_out(
    tmp_path: Path, kubo: KuboNode
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    os.mkfifo(results / "pipe")
    async with IpfsNode(kubo.endpoint, "Test") as node:
        assert await add_directory(node, results) == EMPTY_DIRECTORY
        (results / os.fsdecode(b"\xff")).touch()
        (results / "%FF").write_bytes(b"another one")
        cid = await add_directory(node, results)
    assert kubo.run("ls", "--size=false", cid).split()[1::2] == ["%25FF", "%FF"]


async def test_a_node_that_goes_while_results_are_sent_is_an_error(
    tmp_path: Path, own_kubo: KuboNode
) -> None:
    results = tmp_path / "results"
    results.mkdir()
    with (results / "big").open("wb") as file:
        file.truncate(300_000_000)
    stopped = asyncio.Event()

    def progress(reading: Reading) -> None:
        if reading.done > 20_000_000 and not stopped.is_set():
            stopped.set()
            own_kubo.kill()

    async with asyncio.timeout(60), IpfsNode(own_kubo.endpoint, "Test") as node:
        with pytest.raises(NetworkFailure, match="can't be reached, or closed the connection"):
            await add_directory(node, results, progress=progress)
    assert stopped.is_set()


@pytest.mark.slow
async def test_memory_stays_constant_both_ways(tmp_path: Path, kubo: KuboNode) -> None:
    results, size = tmp_path / "results", 400_000_000
    results.mkdir()
    block, digest = os.urandom(1_000_000), hashlib.sha256()
    with (results / "big").open("wb") as file:
        for number in range(size // len(block)):
            chunk = number.to_bytes(8, "big") + block[8:]
            digest.update(chunk)
            file.write(chunk)
    async with IpfsNode(kubo.endpoint, "Test") as node:
        small = results.parent / "small"
        small.mkdir()
        (small / "a").write_bytes(block)
        await fetch(kubo.endpoint, await add_directory(node, small), tmp_path / "warm")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cid = await add_directory(node, results)
        await fetch(kubo.endpoint, cid, tmp_path / "out")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 60_000, f"{grown} kB more for {size} bytes"
    with (tmp_path / "out/big").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()
    for path in (results / "big", tmp_path / "out/big"):
        path.unlink()
    kubo.run("pin", "rm", cid)
    kubo.run("repo", "gc", "-q")
