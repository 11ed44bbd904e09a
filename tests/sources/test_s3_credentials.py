"""S3 inputs and credentials: which rights suffice, which keys are renewed, and what is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import BacalhauError
from tests.services.s3 import ACCESS_KEY, SECRET_KEY, S3Server, cutting_proxy
from tests.sources.s3_bench import Source, at


async def test_a_public_bucket_needs_no_credentials(
    source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = s3_server.bucket({"d/a": b"1"}, public=True), s3_server.bucket({"d/a": b"1"})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert (await source.plugin.probe()).available
    assert await source.fetch(at(s3_server, public, "d/")) == {"a": b"1"}
    assert await source.fetch(at(s3_server, public, "d/a")) == {"a": b"1"}
    for key in ("d/", "d/a"):
        with pytest.raises(BacalhauError, match="access is denied") as caught:
            await source.fetch(at(s3_server, private, key))
        assert "no AWS credentials" in caught.value.hint


async def test_the_endpoint_of_the_environment_counts(
    source: Source, s3_server: S3Server, sets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.url)
    assert await source.fetch({"bucket": sets, "key": "set2/"}) == {"004.txt": b"4444"}


async def test_the_documented_rights_suffice_and_fewer_do_not(
    source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.bucket({"d/a": b"1"})
    s3_server.user("reader", "reader-secret")
    for name, value in s3_server.environment("reader", "reader-secret").items():
        monkeypatch.setenv(name, value)
    s3_server.grant(bucket, "reader", "s3:GetObject")
    assert await source.fetch(at(s3_server, bucket, "d/a")) == {"a": b"1"}
    with pytest.raises(BacalhauError, match="access is denied") as caught:
        await source.fetch(at(s3_server, bucket, "d/"))
    assert "s3:ListBucket" in caught.value.hint
    s3_server.grant(bucket, "reader", "s3:GetObject", "s3:ListBucket")
    assert await source.fetch(at(s3_server, bucket, "d/")) == {"a": b"1"}


async def test_a_version_needs_its_own_right(
    source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.bucket(versioned=True)
    client = s3_server.client()
    old = client.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    client.put_object(Bucket=bucket, Key="k", Body=b"new")
    client.close()
    s3_server.user("historian", "historian-secret")
    for name, value in s3_server.environment("historian", "historian-secret").items():
        monkeypatch.setenv(name, value)
    s3_server.grant(bucket, "historian", "s3:GetObject")
    with pytest.raises(BacalhauError, match="access is denied"):
        await source.fetch(at(s3_server, bucket, "k", VersionID=old))
    s3_server.grant(bucket, "historian", "s3:GetObjectVersion")
    assert await source.fetch(at(s3_server, bucket, "k", VersionID=old)) == {"k": b"old"}


async def test_accept_encoding_is_not_signed(source: Source, s3_server: S3Server, sets: str) -> None:
    with cutting_proxy(s3_server, after=1 << 40, cuts=0) as proxy:
        await source.fetch(at(s3_server, sets, "set1/001.txt", Endpoint=proxy.url))
        await source.fetch(at(s3_server, sets, "set1/", Endpoint=proxy.url))
    signed = [head.lower() for head in proxy.heads if b"signedheaders=" in head.lower()]
    assert len(signed) >= 6
    for head in signed:
        assert b"accept-encoding" not in head.partition(b"signedheaders=")[2].partition(b",")[0]


async def test_a_cloud_that_rewrites_accept_encoding_accepts_our_signatures(
    tmp_path: Path, source: Source, s3_server: S3Server, sets: str
) -> None:
    # As Google's front ends do.
    change = (b"Accept-Encoding: identity", b"Accept-Encoding: gzip,gzip(gfe)")
    with cutting_proxy(s3_server, after=1 << 40, cuts=0, replace=change) as proxy:
        assert await source.fetch(at(s3_server, sets, "set2/", Endpoint=proxy.url)) == {"004.txt": b"4444"}
        assert await source.fetch(at(s3_server, sets, "set1/001.txt", Endpoint=proxy.url)) == {
            "001.txt": b"1"
        }
        assert any(change[0] in head for head in proxy.heads)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
# A single object is asked for by HEAD, whose answer has no body that could tell the reason.
@pytest.mark.parametrize("key", ["set1/", "set1/001.txt"])
async def test_kinds_of_wrong_credentials_are_distinguished(
    source: Source, s3_server: S3Server, sets: str, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    monkeypatch.setenv(name, "unknown")
    with pytest.raises(BacalhauError, match="credentials of this node are not valid there"):
        await source.fetch(at(s3_server, sets, key))


def credential_process(root: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Let the AWS chain run a script that counts its calls; return the file with the count."""
    calls = root / "calls"
    program = root / "credentials.py"
    program.write_text(
        "import datetime, json, pathlib, sys\n"
        f"calls = pathlib.Path({str(calls)!r})\n"
        "number = int(calls.read_text()) + 1 if calls.exists() else 1\n"
        "calls.write_text(str(number))\n"
        "now = datetime.datetime.now(datetime.timezone.utc)\n" + script
    )
    (root / "config").write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(root / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    return calls


async def test_credentials_are_renewed_during_a_transfer(
    tmp_path: Path, source: Source, s3_server: S3Server, sets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So close to their end that each request renews them first.
    script = (
        "end = (now + datetime.timedelta(minutes=2)).isoformat()\n"
        f"print(json.dumps({{'Version': 1, 'AccessKeyId': {ACCESS_KEY!r}, 'SecretAccessKey': {SECRET_KEY!r},"
        " 'Expiration': end}))\n"
    )
    calls = credential_process(tmp_path, monkeypatch, script)
    files = await source.fetch(at(s3_server, sets, "set1/"))
    assert len(files) == 4
    # One object is empty and needs no request.
    assert int(calls.read_text()) >= 1 + 3


async def test_keys_that_are_rotated_during_a_transfer_are_changed_for_the_new_ones(
    tmp_path: Path, source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {f"d/{number}": b"%d" % number for number in range(30)}
    bucket = s3_server.bucket(objects)
    for name in ("rotated-1", "rotated-2"):
        s3_server.user(name, f"{name}-secret")
    s3_server.grant(bucket, ["rotated-1", "rotated-2"], "s3:GetObject", "s3:ListBucket")
    script = (
        "key = 'rotated-1' if number < 5 else 'rotated-2'\n"
        "end = (now + datetime.timedelta(minutes=2)).isoformat()\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': key, 'SecretAccessKey': key + '-secret',"
        " 'Expiration': end}))\n"
    )
    credential_process(tmp_path, monkeypatch, script)
    with cutting_proxy(s3_server, after=1 << 40, cuts=0) as proxy:
        files = await source.fetch(at(s3_server, bucket, "d/", Endpoint=proxy.url))
    assert files == {key.removeprefix("d/"): data for key, data in objects.items()}
    for key in (b"rotated-1", b"rotated-2"):
        assert any(b"Credential=" + key + b"/" in head for head in proxy.heads)


@pytest.mark.parametrize("key", ["set1/", "set1/001.txt"])
async def test_credentials_that_are_over_are_said(
    tmp_path: Path,
    source: Source,
    s3_server: S3Server,
    sets: str,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    script = (
        "end = (now - datetime.timedelta(minutes=2)).isoformat()\n"
        f"print(json.dumps({{'Version': 1, 'AccessKeyId': {ACCESS_KEY!r}, 'SecretAccessKey': {SECRET_KEY!r},"
        " 'Expiration': end}))\n"
    )
    credential_process(tmp_path, monkeypatch, script)
    with pytest.raises(BacalhauError, match="credentials of this node have expired") as caught:
        await source.fetch(at(s3_server, sets, key))
    assert "renew them" in caught.value.hint


async def test_credentials_that_can_not_be_renewed_are_said(
    tmp_path: Path, source: Source, s3_server: S3Server, sets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential_process(tmp_path, monkeypatch, "sys.exit('log in again')\n")
    with pytest.raises(BacalhauError, match="credentials of this node can't be renewed") as caught:
        await source.fetch(at(s3_server, sets, "set1/"))
    assert caught.value.component == "S3InputSource"
