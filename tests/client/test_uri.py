"""The short forms of inputs, outputs and publishers."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bacalhau_jupyter.client.uri import parse_input, parse_output, parse_publisher
from bacalhau_jupyter.models.errors import BadRequest

INPUTS = [
    ("https://example.com/a.csv", "urlDownload", {"URL": "https://example.com/a.csv"}, "/inputs"),
    (
        "https://example.com:8080/a.csv:/data",
        "urlDownload",
        {"URL": "https://example.com:8080/a.csv"},
        "/data",
    ),
    ("http://example.com:8080", "urlDownload", {"URL": "http://example.com:8080"}, "/inputs"),
    ("src=https://e.com/x,dst=/d", "urlDownload", {"URL": "https://e.com/x"}, "/d"),
    ("source=https://e.com/x,destination=/d", "urlDownload", {"URL": "https://e.com/x"}, "/d"),
    ("ipfs://QmX:/d", "ipfs", {"CID": "QmX"}, "/d"),
    ("file:///srv/data:/d", "localDirectory", {"SourcePath": "/srv/data"}, "/d"),
    (
        "file:///srv/data,opt=rw=true",
        "localDirectory",
        {"SourcePath": "/srv/data", "ReadWrite": True},
        "/inputs",
    ),
    ("s3://b/k/*", "s3", {"Bucket": "b", "Key": "k/*"}, "/inputs"),
    (
        r"s3://b/k/,opt=region=eu-west-1,opt=filter=\.csv$",
        "s3",
        {"Bucket": "b", "Key": "k/", "Region": "eu-west-1", "Filter": r"\.csv$"},
        "/inputs",
    ),
    (
        "s3://b/k/*,opt=partition=object",
        "s3",
        {"Bucket": "b", "Key": "k/*", "Partition": {"Type": "object"}},
        "/inputs",
    ),
    (
        r"s3://b/k/,opt=partition=regex:user(\d+):x",
        "s3",
        {"Bucket": "b", "Key": "k/", "Partition": {"Type": "regex", "Pattern": r"user(\d+):x"}},
        "/inputs",
    ),
    (
        "s3://b/k/,opt=partition=Substring:0-4",
        "s3",
        {"Bucket": "b", "Key": "k/", "Partition": {"Type": "substring", "StartIndex": 0, "EndIndex": 4}},
        "/inputs",
    ),
    (
        "s3://b/k/,opt=partition=date:2006-01-02",
        "s3",
        {"Bucket": "b", "Key": "k/", "Partition": {"Type": "date", "DateFormat": "2006-01-02"}},
        "/inputs",
    ),
    ('"src=s3://b/a,b.csv",dst=/d', "s3", {"Bucket": "b", "Key": "a,b.csv"}, "/d"),
]


@pytest.mark.parametrize(("text", "kind", "params", "target"), INPUTS, ids=[row[0] for row in INPUTS])
def test_an_input_is_read_as_the_official_cli_reads_it(
    text: str, kind: str, params: dict, target: str
) -> None:
    found = parse_input(text)
    assert (found.source.type, found.source.params, found.target) == (kind, params, target)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("git://x/y", "does not know 'git://x/y'"),
        ("src=s3://b/k,nope", "does not know 'nope'"),
        ("dst=/d", "names no URI"),
        ("s3://b/k,opt=colour=red", "no option 'colour'"),
        ("s3://b/k,opt=partition=regex", "does not know opt=partition=regex"),
        ("s3://b/k,opt=partition=substring:x-2", "does not know opt=partition=substring:x-2"),
        ("s3://b/k,opt=broken", "opt=KEY=VALUE"),
        ('"src=s3://b', "unbalanced quotes"),
        ("s3:///key", "names no bucket"),
        ("./not/there.csv", "No such file"),
    ],
)
def test_a_broken_input_names_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence.replace("(", r"\(")):
        parse_input(text)


def test_a_path_of_the_client_travels_with_the_job(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x\n1\n")
    found = parse_input(str(file))
    assert found.target == "/inputs/a.csv"
    assert base64.b64decode(found.source.params["URL"].partition("base64,")[2]) == b"x\n1\n"
    assert parse_input(f"{tmp_path}:/data").source.params["URL"].startswith("data:application/gzip")


def test_a_file_that_is_too_big_to_travel_is_refused_with_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "big.bin"
    with file.open("wb") as out:
        out.truncate(50_000_000)
    with pytest.raises(BadRequest, match="50,000,000 bytes") as caught:
        parse_input(str(file))
    assert "S3" in caught.value.hint


@pytest.mark.parametrize("text", ["name", "name:relative", ":/x"])
def test_an_output_wants_a_name_and_an_absolute_path(text: str) -> None:
    with pytest.raises(BadRequest, match="name:/absolute/path"):
        parse_output(text)


def test_publishers_are_read_as_the_official_cli_reads_them() -> None:
    assert parse_publisher("local").type == "local"
    spec = parse_publisher("s3://b/k/{jobID},opt=region=us-east-1")
    assert (spec.type, spec.params) == ("s3", {"bucket": "b", "key": "k/{jobID}", "region": "us-east-1"})
    with pytest.raises(BadRequest, match="does not know 'ftp"):
        parse_publisher("ftp://x")
