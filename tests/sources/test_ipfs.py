"""Inputs from a real IPFS node."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.compute.bidder import Bidder
from bacalhau_jupyter.compute.execution.events import BidMade, BidRefused
from bacalhau_jupyter.compute.host.capacity import Capacity
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.compute.settings import AdmissionSettings, ComputeSettings, Locality
from bacalhau_jupyter.engines.noop import NoopEngine
from bacalhau_jupyter.models.errors import NetworkFailure, TimedOut
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.source import FetchRequest, IdentifyingSource, LocatingSource, Source
from bacalhau_jupyter.sources.ipfs import IpfsSource
from tests.services.kubo import KuboNode, cut
from tests.transfer.helpers import names

MISSING = "QmZ4tDuvesekSs4qM5ZBKpXiZGun7S2CYtEZRB3DYXkjGx"


def source(root: Path, endpoint: str, **settings: Any) -> IpfsSource:
    keys = {f"InputSources.{name}": value for name, value in settings.items()}
    keys["InputSources.Types.IPFS.Endpoint"] = endpoint
    return IpfsSource(PluginOptions(node_id="n-1", data_dir=root, settings=keys.get))


def wanted(cid: str, target: str = "/inputs") -> InputSource:
    return InputSource(source=SpecConfig(type="ipfs", params={"CID": cid}), target=target)


def request(root: Path, cid: str, name: str = "input") -> FetchRequest:
    directory = root / name
    directory.mkdir(mode=0o700)
    return FetchRequest(Execution(id="e-1"), wanted(cid), directory)


async def test_it_works_only_where_a_node_answers(tmp_path: Path, own_kubo: KuboNode) -> None:
    availability = await source(tmp_path, own_kubo.endpoint).probe()
    assert availability.available
    assert availability.runtime.startswith("kubo/")
    none = await source(tmp_path, "").probe()
    assert (none.available, none.may_change) == (False, False)
    assert none.problem == "no IPFS node is configured (InputSources.Types.IPFS.Endpoint)"
    own_kubo.close()
    down = source(tmp_path, own_kubo.endpoint)
    gone = await down.probe()
    # A node that is started later counts from then on.
    assert (gone.available, gone.may_change) == (False, True)
    assert "can't be reached" in gone.problem
    answer = await down.bid(Execution(), wanted(MISSING))
    assert answer.reason.startswith("this node can't bring an input: the IPFS node at /ip4/127.0.0.1/tcp/")
    own_kubo.start()
    assert (await down.probe()).available


async def test_a_directory_appears_at_the_target_and_a_file_is_the_target(
    tmp_path: Path, kubo: KuboNode
) -> None:
    (tmp_path / "data/sub").mkdir(parents=True)
    (tmp_path / "data/sub/ä.txt").write_bytes(b"1")
    cid = kubo.add(tmp_path / "data")
    plugin = source(tmp_path, kubo.endpoint)
    protocol: Source = plugin
    mount = await protocol.fetch(request(tmp_path, cid, "one"))
    assert (mount.target, mount.read_only) == ("/inputs", True)
    assert (mount.path / "sub/ä.txt").read_bytes() == b"1"
    file = await protocol.fetch(request(tmp_path, f"{cid}/sub/ä.txt", "two"))
    assert file.path.read_bytes() == b"1"
    # Each execution has files of its own.
    again = await protocol.fetch(request(tmp_path, cid, "three"))
    assert again.path != mount.path
    for directory in ("one", "two", "three"):
        assert names(tmp_path / directory) == ["content"]


async def test_size_and_identity_are_those_of_the_content(tmp_path: Path, kubo: KuboNode) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").write_bytes(os.urandom(700_000))
    cid = kubo.add(tmp_path / "data")
    plugin = source(tmp_path, kubo.endpoint)
    assert isinstance(plugin, IdentifyingSource)
    size = await plugin.size(Execution(), wanted(cid))
    assert 700_000 < size < 701_000
    assert await plugin.identity(Execution(), wanted(cid)) == f"ipfs:{cid}"
    assert await plugin.identity(Execution(), wanted(f"ipfs://{cid}/file/")) == f"ipfs:{cid}/file"


async def test_a_bad_cid_gets_no_bid_and_a_missing_one_is_given_up_in_time(
    tmp_path: Path, kubo: KuboNode
) -> None:
    # How long it may take counts for the bid, too, which is answered in any case.
    patient, plugin = (source(tmp_path, kubo.endpoint, ReadTimeout=seconds) for seconds in (60, 0.5))
    bad = await patient.bid(Execution(), wanted("Qmnonsense"))
    assert bad.reason == "this node can't bring an input: 'Qmnonsense' is not a CID"
    assert (await patient.bid(Execution(), wanted(MISSING))).accepted
    async with asyncio.timeout(60):
        with pytest.raises(TimedOut) as caught:
            await plugin.size(Execution(), wanted(MISSING))
        assert caught.value.message.startswith(
            f'IPFS storage provider was unable to retrieve content "{MISSING}" before timeout 500ms'
        )
        with pytest.raises(TimedOut):
            await plugin.fetch(request(tmp_path, MISSING))
    assert names(tmp_path / "input") == []


async def test_a_node_that_is_down_or_goes_meanwhile_fails_the_fetch(
    tmp_path: Path, own_kubo: KuboNode
) -> None:
    (tmp_path / "big").write_bytes(os.urandom(40_000_000))
    cid = own_kubo.add(tmp_path / "big")
    plugin = source(tmp_path, own_kubo.endpoint, MaxRetryCount=1)

    def progress(reading: Reading) -> None:
        if 0 < reading.done < 30_000_000:
            own_kubo.kill()

    ask = request(tmp_path, cid, "meanwhile")
    async with asyncio.timeout(60):
        with pytest.raises(NetworkFailure, match="can't be reached, or closed the connection"):
            await plugin.fetch(FetchRequest(ask.execution, ask.input, ask.directory, progress))
        with pytest.raises(NetworkFailure):
            await plugin.fetch(request(tmp_path, cid, "down"))
    assert names(tmp_path / "meanwhile") == names(tmp_path / "down") == []


async def test_a_fetch_that_is_called_off_leaves_nothing(tmp_path: Path, kubo: KuboNode) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/big").write_bytes(os.urandom(20_000_000))
    cid = kubo.add(tmp_path / "data")
    begun = asyncio.Event()
    ask = request(tmp_path, cid)
    with cut(kubo, after=5_000_000, cuts=1000) as (endpoint, _proxy):
        plugin = source(tmp_path, endpoint)
        fetching = asyncio.create_task(
            plugin.fetch(FetchRequest(ask.execution, ask.input, ask.directory, lambda *_: begun.set()))
        )
        await begun.wait()
        fetching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fetching
    assert names(tmp_path / "input") == []


async def test_where_only_local_inputs_are_taken_the_content_must_lie_on_the_node(
    tmp_path: Path, kubo: KuboNode
) -> None:
    (tmp_path / "here").write_bytes(b"1")
    plugin = source(tmp_path, kubo.endpoint)
    assert isinstance(plugin, LocatingSource)
    options = PluginOptions(node_id="n-1", data_dir=tmp_path)
    plugins = Plugins({"noop": NoopEngine(options)}, {"ipfs": plugin}, {})
    await plugins.probe(60, 60)
    settings = ComputeSettings(
        node_id="n-1", data_dir=tmp_path, admission=AdmissionSettings(locality=Locality.LOCAL)
    )
    bidder = Bidder(settings, plugins, Capacity(Resources(cpu=1, memory=10**9, disk=10**9)))

    def offer(name: str, cid: str) -> Execution:
        task = Task(engine=SpecConfig(type="noop"), input_sources=[wanted(cid)])
        return Execution(id=name, job=Job(count=1, tasks=[task]))

    async with asyncio.timeout(60):
        assert isinstance(await bidder.evaluate(offer("e-1", kubo.add(tmp_path / "here"))), BidMade)
        refused = await bidder.evaluate(offer("e-2", MISSING))
    assert isinstance(refused, BidRefused)
    assert "not have all input data locally (1 inputs require downloading): ipfs" in refused.message
