"""Names of objects on disk, and S3's errors in words; no server is needed for these."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Conflict, Forbidden
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object, local_names, parse_page
from bacalhau_jupyter.transfer.s3.reading.memo import ListingMemo, listing_identity
from bacalhau_jupyter.transfer.s3.requests.errors import s3_failure
from bacalhau_jupyter.transfer.s3.requests.location import S3Location, parse_location
from bacalhau_jupyter.transfer.s3.requests.wire import error_of
from tests.clock import ManualClock


@pytest.mark.parametrize(
    ("key", "object_key", "name"),
    [
        ("set*", "set1/001.txt", "set1/001.txt"),
        ("dir/", "dir/001.txt", "001.txt"),
        ("dir/", "dir/deep/er/001.txt", "deep/er/001.txt"),
        ("dir/se*", "dir/set1/001.txt", "set1/001.txt"),
        ("a/b/001.txt", "a/b/001.txt", "001.txt"),
        ("001.txt", "001.txt", "001.txt"),
        ("", "a/b.txt", "a/b.txt"),
        ("*", "a/b.txt", "a/b.txt"),
        ("d/", "d//x/./y z\u00e9.txt", "x/y z\u00e9.txt"),
        ("/", "/abs/file", "abs/file"),
        ("d/", "d/a\\..\\b", "a\\..\\b"),
    ],
)
def test_objects_lie_where_upstream_puts_them(key: str, object_key: str, name: str) -> None:
    assert local_names(S3Location("b", key), [object_key], "X") == {object_key: name}


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("d/../../etc/passwd", "leads out"),
        ("d/..", "leads out"),
        ("d/a\0b", "NUL"),
        ("d/" + "x" * 256, "longer than 255"),
        ("d/./.", "names no file"),
    ],
)
def test_a_key_that_is_not_a_path_inside_is_refused_by_name(key: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason) as caught:
        local_names(S3Location("b", "d/"), ["d/fine", key], "X")
    assert repr(key[:200]) in caught.value.message


@pytest.mark.parametrize("keys", [["d/a", "d//a"], ["d/a", "d/a/b"], ["d/a/b/c", "d/a"]])
def test_two_keys_that_would_be_one_file_are_refused(keys: list[str]) -> None:
    with pytest.raises(Conflict, match="would be the same file"):
        local_names(S3Location("b", "d/"), keys, "X")


@given(st.lists(st.text(st.sampled_from("ab./\\ é*"), min_size=1, max_size=10), max_size=6, unique=True))
def test_no_key_ever_leads_outside(keys: list[str]) -> None:
    try:
        names = local_names(S3Location("b", ""), keys, "X")
    except BacalhauError:
        return
    assert names.keys() == set(keys)
    assert len(set(names.values())) == len(keys)
    for name in names.values():
        assert name
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({}, "Bucket of the S3 spec is missing"),
        ({"Bucket": 7}, "Bucket of the S3 spec is not text: 7"),
        ({"Bucket": "a/b"}, "'a/b' is not the name of a bucket"),
        ({"Bucket": ".."}, "'..' is not the name of a bucket"),
        ({"Bucket": "AKIA:hunter2@b"}, "is no name: it holds a user or a password"),
        ({"Bucket": "b", "Endpoint": "file:///etc"}, "does not start with http"),
        ({"Bucket": "b", "Key": ["x"]}, "Key of the S3 spec is not text"),
    ],
)
def test_a_wrong_parameter_is_named(params: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_location(params, "X")
    assert reason in caught.value.message


def test_names_of_parameters_are_matched_in_any_case() -> None:
    params = {
        "BUCKET": "b",
        "key": "k/",
        "rEgion": "eu-west-1",
        "endPoint": "http://host:1/",
        "versionid": "v",
    }
    assert parse_location(params, "X") == S3Location("b", "k/", "eu-west-1", "http://host:1", "v")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("ExpiredToken", "credentials of this node have expired"),
        ("InvalidAccessKeyId", "credentials of this node are not valid there"),
        ("AccessDenied", "access is denied"),
    ],
)
def test_refusals_carry_the_ids_that_aws_support_asks_for(code: str, reason: str) -> None:
    from botocore.exceptions import ClientError

    response = {"Error": {"Code": code, "Message": "host-id noise"}, "ResponseMetadata": {"RequestId": "R1"}}
    failure = s3_failure(ClientError(response, "GetObject"), "read s3://b/k", "S3InputSource")
    assert isinstance(failure, Forbidden)
    assert failure.message == f"could not read s3://b/k: the AWS {reason}" or reason in failure.message
    assert failure.details == {
        "Service": "S3",
        "Operation": "GetObject",
        "AWSRequestID": "R1",
        "ErrorCode": code,
    }
    assert failure.component == "S3InputSource"


@pytest.mark.parametrize("code", ["PermanentRedirect", "AuthorizationHeaderMalformed"])
def test_a_wrong_region_is_said(code: str) -> None:
    from botocore.exceptions import ClientError

    failure = s3_failure(ClientError({"Error": {"Code": code}}, "ListObjectsV2"), "list s3://b/", "X")
    assert failure.message == "could not list s3://b/: the bucket is in another region"
    assert "Region" in failure.hint


@pytest.mark.parametrize(
    "body", [b"", b"not xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><Error><Code>&b;</Code></Error>", b"<Error>"]
)
def test_an_answer_that_is_not_an_s3_error_is_ignored(body: bytes) -> None:
    assert error_of(body) == ("", "")


def page(inner: str, space: str = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"') -> bytes:
    return f"<?xml version='1.0'?><ListBucketResult{space}>{inner}</ListBucketResult>".encode()


ENTRY = "<Contents><Key>{}</Key><LastModified>x</LastModified><ETag>&quot;e&quot;</ETag><Size>{}</Size></Contents>"


def test_a_page_of_a_listing_is_read_in_any_dialect() -> None:
    url = "<EncodingType>url</EncodingType>" + ENTRY.format("a+b%2Fc%0A%C3%A9", 3)
    assert parse_page(page(url)) == ([S3Object("a b/c\n\u00e9", 3, '"e"')], "")
    plain = ENTRY.format("a+b%2F&amp;", 3)
    assert parse_page(page(plain, "")) == ([S3Object("a+b%2F&", 3, '"e"')], "")
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t/=+</NextContinuationToken>"
    assert parse_page(page(more)) == ([], "t/=+")
    # A token on the last page means nothing.
    assert parse_page(page(more.replace("true", "false"))) == ([], "")
    assert parse_page(page("<Contents><Size>3</Size><Key>k</Key></Contents>")) == ([S3Object("k", 3)], "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Sign in</body></html>",
        page("<Contents><Key>k</Key></Contents>"),
        page("<Contents><Key>k</Key><Size>many</Size></Contents>"),
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + page(""),
    ],
)
def test_an_invalid_listing_is_not_taken_for_an_empty_one(body: bytes) -> None:
    assert parse_page(body) == (None, "")


def objects(*keys: str) -> list[S3Object]:
    return [S3Object(key, 1, f'"{key}"') for key in keys]


def test_listings_are_kept_for_a_while_and_not_too_many() -> None:
    clock = ManualClock()
    memo = ListingMemo(clock, kept_for_s=10, max_objects=4)
    memo.put("one", objects("a", "b"))
    assert memo.get("one") == objects("a", "b")
    clock.advance(9)
    memo.put("two", objects("c", "d", "e"))
    assert memo.get("one") is None
    assert memo.get("two") == objects("c", "d", "e")
    memo.put("huge", objects(*"abcdefgh"))
    assert memo.get("huge") is None
    memo.put("two", objects("f"))
    assert memo.take("two") == objects("f")
    assert memo.take("two") is None
    memo.put("three", objects("g"))
    clock.advance(10)
    assert memo.get("three") is None


def test_identities_differ_wherever_bytes_or_names_may() -> None:
    place = S3Location("b", "d/", "r", "http://h:1")
    one = [S3Object("d/a", 1, '"1"'), S3Object("d/b", 2, '"2"')]
    names = {"d/a": "a", "d/b": "b"}
    same = listing_identity(place, one, names)
    assert same == listing_identity(S3Location("b", "d*", "", "http://h:1"), one[::-1], names)
    others = [
        (S3Location("c", "d/", "r", "http://h:1"), one, names),
        (S3Location("b", "d/", "r", "http://h:2"), one, names),
        (S3Location("b", "d/", "r"), one, names),
        (S3Location("b", "d/", "q"), one, names),
        (place, one[:1], names),
        (place, [one[0], S3Object("d/b", 2, '"3"')], names),
        (place, [one[0], S3Object("d/b", 2, '"2"', "v")], names),
        (place, [one[0], S3Object("d/b", 2, '"2"', sha256="s")], names),
        (place, one, {"d/a": "d/a", "d/b": "d/b"}),
    ]
    assert len({same, *(listing_identity(*other) for other in others)}) == 1 + len(others)
    assert listing_identity(place, [one[0], S3Object("d/b", 2)], names) is None
