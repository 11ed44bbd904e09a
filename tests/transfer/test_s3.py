"""Names of objects on disk, and S3's errors in words; no server is needed for these."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Conflict, Forbidden
from bacalhau_jupyter.transfer.s3 import S3Location, parse_location
from bacalhau_jupyter.transfer.s3_errors import s3_failure
from bacalhau_jupyter.transfer.s3_get import _error_of
from bacalhau_jupyter.transfer.s3_listing import local_names


@pytest.mark.parametrize(
    ("key", "found", "name"),
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
def test_objects_lie_where_upstream_puts_them(key: str, found: str, name: str) -> None:
    assert local_names(S3Location("b", key), [found], "X") == {found: name}


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
def test_a_key_that_is_no_path_inside_is_refused_by_name(key: str, reason: str) -> None:
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
        ({"Bucket": 7}, "Bucket of the S3 spec is not a text: 7"),
        ({"Bucket": "a/b"}, "'a/b' is not the name of a bucket"),
        ({"Bucket": ".."}, "'..' is not the name of a bucket"),
        ({"Bucket": "b", "Endpoint": "file:///etc"}, "does not start with http"),
        ({"Bucket": "b", "Key": ["x"]}, "Key of the S3 spec is not a text"),
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
def test_refusals_are_told_with_what_aws_support_asks_for(code: str, reason: str) -> None:
    from botocore.exceptions import ClientError

    response = {"Error": {"Code": code, "Message": "host-id noise"}, "ResponseMetadata": {"RequestId": "R1"}}
    failure = s3_failure(ClientError(response, "GetObject"), "read s3://b/k", "S3InputSource")
    assert isinstance(failure, Forbidden)
    assert failure.message == f"could not read s3://b/k: the AWS {reason}" or reason in failure.message
    assert failure.details == {
        "Service": "S3", "Operation": "GetObject", "AWSRequestID": "R1", "ErrorCode": code,
    }  # fmt: skip
    assert failure.component == "S3InputSource"


@pytest.mark.parametrize(
    "body", [b"", b"not xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><Error><Code>&b;</Code></Error>", b"<Error>"]
)
def test_an_answer_that_is_no_s3_error_is_not_believed(body: bytes) -> None:
    assert _error_of(body) == ("", "")
