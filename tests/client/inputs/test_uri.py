"""The short forms of inputs, outputs and publishers."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from bacalhau_jupyter.client.inputs.uri import parse_input, parse_output, parse_publisher
from bacalhau_jupyter.client.jobs.build import ipfs, s3
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
    ("SRC=ipfs://QmX,TARGET=/d", "ipfs", {"CID": "QmX"}, "/d"),
    ("ipfs://QmX", "ipfs", {"CID": "QmX"}, "/inputs"),
    ("ipfs://QmX/sub/path.csv:/d", "ipfs", {"CID": "QmX/sub/path.csv"}, "/d"),
    ("src='ipfs://QmX',dst='/d'", "ipfs", {"CID": "QmX"}, "/d"),
    ("ipfs://QmX,dst=/d", "ipfs", {"CID": "QmX"}, "/d"),
    ("https://e.com/x?a=b&c=d:/d", "urlDownload", {"URL": "https://e.com/x?a=b&c=d"}, "/d"),
    ("s3://b/dir/a%20b.txt", "s3", {"Bucket": "b", "Key": "dir/a b.txt"}, "/inputs"),
    ("s3://b/a?b#c", "s3", {"Bucket": "b", "Key": "a?b#c"}, "/inputs"),
    (
        "s3://b/k:/d,opt=endpoint=http://127.0.0.1:9000,opt=versionID=v1,option=checksum-256=c",
        "s3",
        {
            "Bucket": "b",
            "Key": "k",
            "Endpoint": "http://127.0.0.1:9000",
            "VersionID": "v1",
            "ChecksumSHA256": "c",
        },
        "/d",
    ),
    (
        "s3://b/k,opt=version_id=v,opt=checksum_256=c",
        "s3",
        {"Bucket": "b", "Key": "k", "VersionID": "v", "ChecksumSHA256": "c"},
        "/inputs",
    ),
    ('s3://b/k,opt=filter=x=1 "', "s3", {"Bucket": "b", "Key": "k", "Filter": 'x=1 "'}, "/inputs"),
    ("file:///d,opt=readwrite=T", "localDirectory", {"SourcePath": "/d", "ReadWrite": True}, "/inputs"),
    ("file:///d,opt=rw=0,dst=/x", "localDirectory", {"SourcePath": "/d", "ReadWrite": False}, "/x"),
    ("file://relative/d", "localDirectory", {"SourcePath": "relative/d"}, "/inputs"),
]


@pytest.mark.parametrize(("text", "kind", "params", "target"), INPUTS, ids=[row[0] for row in INPUTS])
def test_an_input_is_read_as_the_official_cli_reads_it(
    text: str, kind: str, params: dict, target: str
) -> None:
    parsed = parse_input(text)
    assert (parsed.source.type, parsed.source.params, parsed.target) == (kind, params, target)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("git://x/y", "does not know 'git://x/y'"),
        ("s3://AKIA:hunter2@b/k", "@b holds a user or a password"),
        ("s3://AKIA@b/k:/data", "@b holds a user or a password"),
        ("", "names no URI"),
        ("scr=s3://b/k,dst=/d", "does not know 'scr=s3://b/k'"),
        ("s3://b/k,region=eu", "does not know 'region=eu'"),
        ("s3://b/k,dst=data", "absolute path"),
        ("ipfs://", "names no CID"),
        ("ipfs://QmX,opt=rw=true", "ipfs takes no opt=rw"),
        ("https://e.com/x,opt=region=eu", "https takes no opt=region"),
        ("file:///d,opt=region=eu", "file has no option 'region'"),
        ("file:///d,opt=rw=yes", "true or false, not 'yes'"),
        ("http://[bad", "is not a URI"),
        ("job:j-1", "needs a client"),
        ("src=s3://b/k,nope", "does not know 'nope'"),
        ("dst=/d", "names no URI"),
        ("s3://b/k,opt=colour=red", "no option 'colour'"),
        ("s3://b/k,opt=partition=regex", "does not know opt=partition=regex"),
        ("s3://b/k,opt=partition=substring:x-2", "does not know opt=partition=substring:x-2"),
        ("s3://b/k,opt=broken", "opt=KEY=VALUE"),
        ('"src=s3://b', "unbalanced quotes"),
        ("s3:///key", "names no bucket"),
        ("./not/there.csv", "no such file here: ./not/there.csv"),
    ],
)
def test_a_broken_input_names_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence.replace("(", r"\(")):
        parse_input(text)


def test_a_path_of_the_client_travels_with_the_job(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("x\n1\n")
    parsed = parse_input(str(file))
    assert parsed.target == "/inputs/a.csv"
    assert base64.b64decode(parsed.source.params["URL"].partition("base64,")[2]) == b"x\n1\n"
    assert parse_input(f"{tmp_path}:/data").source.params["URL"].startswith("data:application/gzip")


def test_builders_say_the_same_as_the_short_forms() -> None:
    text = r"s3://b/k/*,dst=/d,opt=region=r,opt=filter=\.csv$,opt=partition=object"
    made = s3("b/k/*", "/d", region="r", filter=r"\.csv$", partition="object")
    assert made.source == parse_input(text).source
    assert made.target == "/d"
    assert s3("s3://b/100%25", "/d").source.params["Key"] == "100%25"
    assert ipfs("QmX/y").source == parse_input("ipfs://QmX/y").source


@pytest.mark.parametrize("text", ["name", "name:relative", ":/x"])
def test_an_output_needs_a_name_and_an_absolute_path(text: str) -> None:
    with pytest.raises(BadRequest, match="name:/absolute/path"):
        parse_output(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("scr=s3://b/k", "did you mean src=?"),
        ("s3://b/k,region=eu", "did you mean opt=region=eu?"),
        ("s3://b/k,opt=regoin=eu", "did you mean region?"),
        ("htps://e.com/x", "did you mean https://e.com/x?"),
        ("s3:/b/k", "s3://"),
        ("gs://b/k", "s3://b/k,opt=endpoint=https://storage.googleapis.com"),
        ("git://x/y", "no longer supports git inputs"),
        ("s3://b/k,dst=data", "dst=/data"),
        ("src=s3://b/a,b.csv", "needs quotes"),
        ("s3://b/k,opt=endpont=http://x", "did you mean endpoint?"),
        ("https://e.com/x,opt=dst=/d", "did you mean dst=/d, without opt=?"),
        ("ipfs://QmX,opt=rw=true", "leave the option out"),
        ("file:///d,opt=read-writ=true", "did you mean read-write?"),
    ],
)
def test_the_error_for_a_broken_input_names_the_nearest_right_form(text: str, hint: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_input(text)
    assert hint in caught.value.hint


def test_a_file_that_is_not_here_names_the_nearest_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "suchfile.csv").write_text("x")
    (tmp_path / "data" / "sales.csv").write_text("x")
    for text, hint in (
        ("suchfile.cvs", "did you mean suchfile.csv?"),
        ("nosuchfile.csv", "did you mean suchfile.csv?"),
        ("data/sale.csv", "did you mean data/sales.csv?"),
        ("./data/sale.csv:/in", "did you mean data/sales.csv?"),
        ("quite-another.bin", "s3://"),
        ("dta", "did you mean data?"),
        ("dta/sales.csv", "there is no directory dta here"),
        ("/no/such/place/x.csv", "there is no directory /no/such/place"),
    ):
        with pytest.raises(BadRequest, match="no such file here: ") as caught:
            parse_input(text)
        assert hint in caught.value.hint
    with pytest.raises(BadRequest, match="does not know 's3'"):
        parse_input("s3:/data/sales.csv")


PUBLISHERS = [
    ("ipfs", "ipfs", {}),
    ("local", "local", {}),
    ("s3managed", "s3managed", {}),
    ("dst=local", "local", {}),
    ("ipfs://", "ipfs", {}),
    ("s3://b/dir/x.txt", "s3", {"bucket": "b", "key": "dir/x.txt"}),
    ("target=s3://b/k,opt=region=r", "s3", {"bucket": "b", "key": "k", "region": "r"}),
    ("s3://b/k,opt=encoding=plain", "s3", {"bucket": "b", "key": "k", "encoding": "plain"}),
    (
        "s3://b/{jobID}/,opt=endpoint=http://127.0.0.1:9000,opt=region=r",
        "s3",
        {"bucket": "b", "key": "{jobID}/", "endpoint": "http://127.0.0.1:9000", "region": "r"},
    ),
    ("s3,opt=bucket=b,opt=key=dir/x,opt=region=r", "s3", {"bucket": "b", "key": "dir/x", "region": "r"}),
]


@pytest.mark.parametrize(("text", "kind", "params"), PUBLISHERS, ids=[row[0] for row in PUBLISHERS])
def test_a_publisher_is_read_as_the_official_cli_reads_it(text: str, kind: str, params: dict) -> None:
    publisher = parse_publisher(text)
    assert (publisher.type, publisher.params) == (kind, params)


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ("", "names no destination", "s3managed"),
        ("s3://b/k,y=/mount", "does not know 'y=/mount'", "known keys"),
        ("s3://b/k,encoding=plain", "does not know 'encoding=plain'", "opt=encoding=plain"),
        ("s3://b", "needs a bucket and a key", "s3://bucket"),
        ("s3://AKIA:hunter2@b/k", "@b holds a user or a password", "AWS_ACCESS_KEY_ID"),
        ("s3", "needs a bucket and a key", "s3://bucket"),
        ("locale", "does not know 'locale'", "did you mean local?"),
        ("ipfs://QmX", "ipfs takes no path", "-p ipfs"),
        ("local,opt=region=eu", "local takes no opt=region", ""),
        ("s3://b/k,dst=s3://c/k", "two destinations", ""),
        ("s3://b/k,opt=endpont=http://x", "s3 has no option 'endpont'", "did you mean endpoint?"),
        ("s3://b/k,opt=filter=x", "s3 has no option 'filter'", "known: endpoint, region, encoding"),
    ],
)
def test_a_broken_publisher_names_what_is_wrong(text: str, sentence: str, hint: str) -> None:
    with pytest.raises(BadRequest, match=sentence) as caught:
        parse_publisher(text)
    assert hint in caught.value.hint


def test_publishers_are_read_as_the_official_cli_reads_them() -> None:
    assert parse_publisher("local").type == "local"
    spec = parse_publisher("s3://b/k/{jobID},opt=region=us-east-1")
    assert (spec.type, spec.params) == ("s3", {"bucket": "b", "key": "k/{jobID}", "region": "us-east-1"})
    with pytest.raises(BadRequest, match="does not know 'ftp"):
        parse_publisher("ftp://x")


@pytest.mark.parametrize("text", ["a" * 5000, "~nobody-here/x", "a" * 300 + ".csv", "\ud800/x.csv"])
def test_a_text_that_no_path_can_be_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_input(text)
