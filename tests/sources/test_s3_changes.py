"""S3 objects that change, and connections that break, while an input is fetched."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import BacalhauError
from tests.services.s3 import S3Server, cutting_proxy
from tests.sources.s3_bench import BIG, Source, at


async def test_cut_connections_go_on_where_they_broke(source: Source, s3_server: S3Server, big: str) -> None:
    with cutting_proxy(s3_server, after=10_000_000, cuts=4) as proxy:
        files = await source.fetch(at(s3_server, big, "big", Endpoint=proxy.url))
    assert hashlib.sha256(files["big"]).digest() == hashlib.sha256(BIG).digest()
    assert proxy.cut == 4
    ranges = [
        line for head in proxy.heads for line in head.split(b"\r\n") if line.lower().startswith(b"range:")
    ]
    # Three parts, and one more request for each cut, none of which starts a part again.
    assert len(ranges) == 3 + 4
    assert len(set(ranges)) == 7
    # Every byte was counted once, and the three parts as one file.
    assert source.reports[-1] == (len(BIG), len(BIG))
    assert source.files[-1] == (1, 1)
    assert set(source.files[:-1]) == {(0, 1)}


async def test_an_object_that_changes_meanwhile_is_never_mixed(
    source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.bucket({"d/k": b"before"})
    real = source.plugin._find

    def find_then_change(*arguments: Any) -> Any:
        objects = real(*arguments)
        client = s3_server.client()
        client.put_object(Bucket=bucket, Key="d/k", Body=b"after!")
        client.close()
        return objects

    monkeypatch.setattr(source.plugin, "_find", find_then_change)
    for key in ("d/k", "d/"):
        client = s3_server.client()
        client.put_object(Bucket=bucket, Key="d/k", Body=b"before")
        client.close()
        with pytest.raises(BacalhauError, match="the object changed meanwhile"):
            await source.fetch(at(s3_server, bucket, key))


async def test_an_object_that_is_replaced_in_the_middle_is_never_mixed(
    source: Source, s3_server: S3Server
) -> None:
    bucket = s3_server.bucket({"big": BIG})

    def replace() -> None:
        client = s3_server.client()
        client.put_object(Bucket=bucket, Key="big", Body=BIG[::-1])
        client.close()

    with cutting_proxy(s3_server, after=10_000_000, cuts=1, on_cut=replace) as proxy:
        with pytest.raises(BacalhauError, match="the object changed meanwhile"):
            await source.fetch(at(s3_server, bucket, "big", Endpoint=proxy.url))
        assert proxy.cut == 1


async def test_a_listing_that_is_cut_is_asked_for_again(
    source: Source, s3_server: S3Server, sets: str
) -> None:
    with cutting_proxy(s3_server, after=400, cuts=1) as proxy:
        assert len(await source.fetch(at(s3_server, sets, "set1/", Endpoint=proxy.url))) == 4
        assert proxy.cut == 1


async def test_bid_and_fetch_list_once(source: Source, s3_server: S3Server, sets: str) -> None:
    with cutting_proxy(s3_server, after=1 << 40, cuts=0) as proxy:
        params = at(s3_server, sets, "set1/", Endpoint=proxy.url)
        assert await source.size(params) == 6
        assert await source.size(params) == 6
        await source.fetch(params)
        assert sum(b"list-type=2" in head for head in proxy.heads) == 1
        # What was used is not used again.
        await source.fetch(params)
        assert sum(b"list-type=2" in head for head in proxy.heads) == 2


async def test_what_changed_since_the_bid_is_looked_at_again(source: Source, s3_server: S3Server) -> None:
    bucket = s3_server.bucket({"d/a": b"old", "d/b": b"same"})
    params = at(s3_server, bucket, "d/")
    assert await source.size(params) == 7
    before = await source.identity(params)
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="d/a", Body=b"newer")
    client.close()
    assert await source.fetch(params) == {"a": b"newer", "b": b"same"}
    assert source.brought not in ("", before)
    assert source.brought == await source.identity(params)
    # One that went away was not in the way either.
    assert await source.size(params) == 9
    client = s3_server.client()
    client.delete_object(Bucket=bucket, Key="d/a")
    client.close()
    assert await source.fetch(params) == {"b": b"same"}


async def test_an_identity_names_bytes_and_layout(source: Source, s3_server: S3Server) -> None:
    bucket = s3_server.bucket({"d/a": b"1", "d/b": b"2", "e/a": b"1"})
    cases = [
        (at(s3_server, bucket, "d/"), 1, 0),
        (at(s3_server, bucket, "d*"), 1, 0),
        (at(s3_server, bucket, "d/a"), 1, 0),
        (at(s3_server, bucket, "e/"), 1, 0),
        (at(s3_server, bucket, "d/", Filter="a"), 1, 0),
        (at(s3_server, bucket, "d/", Filter="b"), 1, 0),
        (at(s3_server, s3_server.bucket({"d/a": b"1", "d/b": b"2"}), "d/"), 1, 0),
    ]
    identities = [await source.identity(params, count=count, index=index) for params, count, index in cases]
    # The same file from the same place is the same input, however it was asked for.
    assert identities[2] == identities[4]
    assert len({*identities}) == len(cases) - 1
    assert None not in identities
    await source.fetch(cases[0][0])
    assert source.brought == identities[0]
    # Executions of one partition share, others do not.
    shares = [at(s3_server, bucket, "d/", Partition={"Type": "object"})] * 2
    first, second = [await source.identity(params, count=2, index=at) for at, params in enumerate(shares)]
    assert first != second
    # Without ETags nobody knows.
    s3_server.fill(bucket, "f", 1, lambda _: b"x", etags=False)
    assert await source.identity(at(s3_server, bucket, "f/")) is None
    assert await source.fetch(at(s3_server, bucket, "f/")) == {"000000": b"x"}
    assert source.brought == ""
