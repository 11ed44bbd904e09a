"""Published results read from real IPFS nodes, also those of a private swarm."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import (
    BacalhauError,
    BadRequest,
    ConfigurationError,
    Conflict,
    NetworkFailure,
    NotFound,
    TimedOut,
)
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry, ResultReader
from bacalhau_jupyter.transfer.ipfs.results import IpfsResultReader, open_ipfs_result
from bacalhau_jupyter.transfer.ipfs.swarm import IpfsSwarm
from tests.services.fixtures import service_or_skip
from tests.services.kubo import KuboNode, cut, swarm_key
from tests.services.waiting import found
from tests.transfer.helpers import names, tree

TABLE = b"a,b\n1,2\n" * 1000


def results(root: Path) -> Path:
    directory = root / "results"
    (directory / "outputs/deep").mkdir(parents=True)
    (directory / "outputs/none").mkdir()
    (directory / "stdout").write_bytes(b"hi\n")
    (directory / "exitCode").write_bytes(b"0")
    (directory / "outputs/deep/täble 1.csv").write_bytes(TABLE)
    (directory / "outputs/link").symlink_to("deep/täble 1.csv")
    return directory


def spec(cid: str) -> SpecConfig:
    return SpecConfig(type="ipfs", params={"CID": cid})


async def whole(reader: IpfsResultReader, path: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in reader.read(path, start, stop)])


async def test_a_result_is_listed_and_read_in_parts(tmp_path: Path, kubo: KuboNode) -> None:
    cid = kubo.add(results(tmp_path))
    reader = open_ipfs_result(spec(cid), kubo.endpoint)
    protocol: ResultReader = reader
    assert list(await protocol.entries()) == [
        ResultEntry("exitCode", 1),
        ResultEntry("outputs", 0, EntryKind.DIRECTORY),
        ResultEntry("outputs/deep", 0, EntryKind.DIRECTORY),
        ResultEntry("outputs/deep/täble 1.csv", len(TABLE)),
        ResultEntry("outputs/link", 0, EntryKind.LINK, "deep/täble 1.csv"),
        ResultEntry("outputs/none", 0, EntryKind.DIRECTORY),
        ResultEntry("stdout", 3),
    ]
    path = "outputs/deep/täble 1.csv"
    assert await whole(reader, path) == TABLE
    for start, stop in [(0, 0), (5, 9), (7990, None), (7990, 9000), (8000, None), (9000, 9001)]:
        assert await whole(reader, path, start, stop) == TABLE[start:stop]
    for wrong in ("nothing", "outputs", "outputs/link", "outputs/deep/nothing"):
        with pytest.raises(NotFound, match="there is no"):
            await whole(reader, wrong)
    with pytest.raises(BadRequest, match="is not plain"):
        await whole(reader, "outputs/../stdout")
    with pytest.raises(BadRequest, match="is not a range"):
        await whole(reader, path, 5, 3)
    await reader.close()


async def test_a_result_is_saved_whole_and_in_parts(tmp_path: Path, kubo: KuboNode) -> None:
    source = results(tmp_path)
    reader = open_ipfs_result(spec(kubo.add(source)), kubo.endpoint)
    places = [tmp_path / name for name in ("all", "part", "file", "link")]
    for place in places:
        place.mkdir()
    await reader.save(places[0])
    assert tree(places[0]) == tree(source)
    await reader.save(places[1], "outputs/deep")
    assert {name: kind for name, (kind, *_) in tree(places[1]).items()} == {
        "outputs": "directory",
        "outputs/deep": "directory",
        "outputs/deep/täble 1.csv": "file",
    }
    await reader.save(places[2], "stdout")
    assert names(places[2]) == ["stdout"]
    await reader.save(places[3], "outputs/link")
    assert (places[3] / "outputs/link").readlink() == Path("deep/täble 1.csv")
    with pytest.raises(Conflict, match="already exists"):
        await reader.save(places[1], "outputs")
    with pytest.raises(NotFound):
        await reader.save(places[2], "nothing")
    assert names(places[2]) == ["stdout"]
    await reader.close()


async def test_a_save_that_fails_leaves_nothing(tmp_path: Path, kubo: KuboNode) -> None:
    source, place = tmp_path / "source", tmp_path / "place"
    source.mkdir()
    place.mkdir()
    (source / "big").write_bytes(os.urandom(5_000_000))
    cid = kubo.add(source)
    begun = asyncio.Event()
    with cut(kubo, after=1_000_000, cuts=1000) as (endpoint, _proxy):
        reader = open_ipfs_result(spec(cid), endpoint)
        saving = asyncio.create_task(reader.save(place, progress=lambda *_: begun.set()))
        await begun.wait()
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        await reader.close()
    assert names(place) == []


async def test_without_a_node_the_error_explains_how_to_start_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    reader = open_ipfs_result(spec("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"), "")
    with pytest.raises(ConfigurationError, match="none is configured") as caught:
        await reader.entries()
    assert "ResultDownloaders.Types.IPFS.Endpoint" in caught.value.hint
    await reader.close()
    with pytest.raises(BadRequest, match="is not a CID"):
        open_ipfs_result(spec("nonsense"), "")
    with pytest.raises(ConfigurationError, match="names no peer"):
        IpfsSwarm.of(["/ip4/127.0.0.1/tcp/4001"])


async def test_a_private_swarm_is_read_through_a_node_of_it(
    tmp_path: Path, private_kubo: tuple[KuboNode, str]
) -> None:
    first, key = private_kubo
    cid = first.add(results(tmp_path))
    directory = tmp_path / "second"
    directory.mkdir()
    second = service_or_skip(lambda: KuboNode(directory, key))
    try:
        # The second node has never heard of the first.
        alone = open_ipfs_result(spec(cid), second.endpoint, read_timeout_s=1)
        with pytest.raises(TimedOut):
            await alone.entries()
        await alone.close()
        swarm = IpfsSwarm.of(first.swarm_addresses)
        reader = open_ipfs_result(spec(cid), second.endpoint, swarm=swarm)
        assert await whole(reader, "stdout") == b"hi\n"
        await reader.close()
    finally:
        second.close()


@pytest.fixture
def ipfs_on_path(tmp_path: Path, kubo: KuboNode, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files, and the `ipfs` command as the only one there is."""
    commands, temporary = tmp_path / "bin", tmp_path / "tmp"
    commands.mkdir()
    temporary.mkdir()
    (commands / "ipfs").symlink_to(kubo.binary)
    monkeypatch.setenv("PATH", str(commands))
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return temporary


async def test_a_private_swarm_is_read_through_a_node_of_our_own(
    tmp_path: Path, private_kubo: tuple[KuboNode, str], ipfs_on_path: Path, no_leaks: None
) -> None:
    first, key = private_kubo
    source = results(tmp_path)
    cid = first.add(source)
    (tmp_path / "key").write_text(key)
    swarm = IpfsSwarm.of(first.swarm_addresses, str(tmp_path / "key"))
    reader = open_ipfs_result(spec(cid), "", swarm=swarm)
    (tmp_path / "out").mkdir()
    await reader.save(tmp_path / "out")
    assert tree(tmp_path / "out") == tree(source)
    (copy,) = found(ipfs_on_path, "swarm.key")
    assert copy.stat().st_mode & 0o777 == 0o600
    await reader.close()
    assert names(ipfs_on_path) == []


async def test_with_a_wrong_key_nobody_is_reached_and_nothing_stays(
    tmp_path: Path, private_kubo: tuple[KuboNode, str], ipfs_on_path: Path, no_leaks: None
) -> None:
    first, _ = private_kubo
    (tmp_path / "wrong").write_text(swarm_key())
    (tmp_path / "nonsense").write_text("secret")
    cid = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"
    cases: list[tuple[str, type[BacalhauError], str]] = [
        ("wrong", NetworkFailure, "no node of the IPFS swarm can be reached"),
        ("nonsense", ConfigurationError, "is not an IPFS swarm key"),
        ("missing", BacalhauError, "could not read the swarm key"),
    ]
    for name, kind, words in cases:
        swarm = IpfsSwarm.of(first.swarm_addresses, str(tmp_path / name))
        reader = open_ipfs_result(spec(cid), "", swarm=swarm)
        async with asyncio.timeout(60):
            with pytest.raises(kind, match=words) as caught:
                await reader.entries()
        assert "secret" not in str(caught.value)
        await reader.close()
        assert names(ipfs_on_path) == []
