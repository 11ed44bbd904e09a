"""What makes two jobs the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.client.cache.identity import Surroundings, Unidentified, files_below
from bacalhau_jupyter.client.cache.own_links import below, signed_with
from bacalhau_jupyter.client.inputs.inline import inline, inline_files
from bacalhau_jupyter.client.jobs import build
from bacalhau_jupyter.config.finished import FinishedJob, FinishedJobs
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, replace
from bacalhau_jupyter.models.records.published import RESULTS_PATH
from bacalhau_jupyter.models.records.uploads import content_path
from bacalhau_jupyter.transfer.archive.data_urls import decode_data_url, encode_data_url
from bacalhau_jupyter.transfer.core.signing import sign
from tests.services.s3 import S3Server

KEY = b"k" * 32
CLUSTER = "https://cluster.example:1234/base"
HERE = Surroundings(shares_machine=True, cluster="", own_link=signed_with(KEY))
ELSEWHERE = Surroundings(shares_machine=False, cluster=CLUSTER, own_link=below(CLUSTER))


def job(command: str = "true", **options: Any) -> Job:
    return build.docker("busybox", command, **options)


def test_name_metadata_and_group_do_not_count() -> None:
    renamed = replace(
        job(name="other", labels={"bacalhau-group": "1"}), meta={"jupyter.org/cell": "x"}, id="j-1"
    )
    assert HERE.identity(renamed) == HERE.identity(job())


@pytest.mark.parametrize(
    "other",
    [
        lambda: job("false"),
        lambda: job(env={"A": "1"}),
        lambda: job(memory="1gb"),
        lambda: job(count=2),
        lambda: job(labels={"team": "a"}),
        lambda: job(inputs=[inline("x", "/inputs/x")]),
        lambda: job(publisher="s3://bucket/{jobID}"),
        lambda: build.docker("busybox:musl", "true"),
    ],
)
def test_what_shapes_a_run_counts(other: Callable[[], Job]) -> None:
    assert HERE.identity(other()) != HERE.identity(job())


def test_inline_inputs_count_by_their_content_and_not_by_when_they_were_packed() -> None:
    packed = inline_files({"a": b"1"}, "/inputs")
    data = decode_data_url(packed.source.params["URL"]).data
    # gzip notes the second.
    later = encode_data_url(data[:4] + b"\1\2\3\4" + data[8:], "application/gzip")
    first = job(inputs=[packed])
    again = job(inputs=[replace(packed, source=SpecConfig(type="inline", params={"URL": later}))])
    assert first.tasks[0].input_sources != again.tasks[0].input_sources
    assert HERE.identity(first) == HERE.identity(again)
    assert HERE.identity(first) != HERE.identity(job(inputs=[inline_files({"a": b"2"}, "/inputs")]))


def link(
    sha256: str, name: str = "x.csv", *, key: bytes = KEY, base: str = "http://127.0.0.1:1", at: int = 1
) -> str:
    path = content_path(sha256, name)
    return f"{base}{path}?{sign(path, at, key)}"


def uploaded(url: str) -> InputSource:
    return InputSource(source=SpecConfig(type="urlDownload", params={"URL": url}), target="/inputs/x.csv")


def test_an_upload_counts_by_its_hash_and_not_by_its_signature_or_the_name_of_the_node() -> None:
    one, again = job(inputs=[uploaded(link("a" * 64, at=1))]), job(inputs=[uploaded(link("a" * 64, at=2))])
    renamed = job(inputs=[uploaded(link("a" * 64, base="http://localhost:1"))])
    assert HERE.identity(one) == HERE.identity(again) == HERE.identity(renamed)
    assert HERE.identity(one) != HERE.identity(job(inputs=[uploaded(link("b" * 64))]))


def archive(base: str, key: bytes) -> str:
    path = f"{RESULTS_PATH}/e-1.tar.gz"
    return f"{base}{path}?{sign(path, 1, key)}"


@pytest.mark.parametrize(
    "url",
    [
        link("a" * 64, base="https://other.example", key=b"o" * 32),
        archive("https://other.example", b"o" * 32),
        link("a" * 64, key=b"o" * 32),
        link("a" * 64).partition("&signature")[0],
    ],
)
def test_a_link_that_only_looks_like_one_of_the_node_says_nothing_of_its_content(url: str) -> None:
    for around in (HERE, ELSEWHERE, Surroundings(shares_machine=False, cluster=CLUSTER)):
        with pytest.raises(Unidentified, match="nothing says whether"):
            around.identity(job(inputs=[uploaded(url)]))


def test_of_a_cluster_elsewhere_the_links_below_its_address_count() -> None:
    one, again = (job(inputs=[uploaded(link("a" * 64, base=CLUSTER, at=at))]) for at in (1, 2))
    assert ELSEWHERE.identity(one) == ELSEWHERE.identity(again)
    for base in ("https://cluster.example:1234", f"{CLUSTER}/other", f"{CLUSTER}.example"):
        with pytest.raises(Unidentified):
            ELSEWHERE.identity(job(inputs=[uploaded(link("a" * 64, base=base))]))


def named(name: str, **params: Any) -> Job:
    source = SpecConfig(type="urlDownload", params={"URL": link("a" * 64, name), **params})
    return job(inputs=[InputSource(source=source, target="/inputs")])


def test_the_name_of_an_upload_counts_where_the_job_sees_it() -> None:
    assert HERE.identity(named("a.csv")) != HERE.identity(named("b.csv"))


def test_the_name_of_an_upload_that_is_the_target_itself_does_not_count() -> None:
    assert HERE.identity(named("a.csv", File=True)) == HERE.identity(named("b.csv", File=True))


def test_a_web_page_makes_a_job_nobodys_equal() -> None:
    with pytest.raises(Unidentified, match=r"nothing says whether the input https://example\.org/a"):
        HERE.identity(job(inputs=["https://example.org/a"]))


def test_paths_count_by_size_and_time_where_the_node_reads_this_machine(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a").write_text("1")
    with_path = job(inputs=[build.local_path(data)])
    before = HERE.identity(with_path)
    assert HERE.identity(with_path) == before
    (data / "a").write_text("2")
    # Many kernels count times in steps of 4 ms, and both may have been written in the same one.
    os.utime(data / "a", ns=(0, (data / "a").stat().st_mtime_ns + 1_000_000_000))
    assert HERE.identity(with_path) != before
    with pytest.raises(Unidentified, match="path of another machine"):
        ELSEWHERE.identity(with_path)
    with pytest.raises(Unidentified, match="may write to its input"):
        HERE.identity(job(inputs=[build.local_path(data, read_write=True)]))


def test_a_path_that_is_gone_is_not_identified(tmp_path: Path) -> None:
    with pytest.raises(Unidentified, match="can't be read"):
        files_below(tmp_path / "none")


def test_clusters_do_not_answer_for_each_other() -> None:
    assert HERE.identity(job()) != ELSEWHERE.identity(job())


def test_the_record_tells_nobody_what_a_job_was(tmp_path: Path) -> None:
    one, other = FinishedJobs(Repo.open(tmp_path / "one")), FinishedJobs(Repo.open(tmp_path / "other"))
    assert one.key_of(b"PASSWORD=hunter2") == one.key_of(b"PASSWORD=hunter2")
    assert one.key_of(b"PASSWORD=hunter2") != other.key_of(b"PASSWORD=hunter2")
    one.add(FinishedJob(one.key_of(b"x"), "j-1", 1))
    one.add(FinishedJob(one.key_of(b"x"), "j-2", 2))
    (path,) = (tmp_path / "one").glob("finished.jsonl")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_bytes(path.read_bytes() + b"broken\n")
    assert [each.job_id for each in one.of(one.key_of(b"x"))] == ["j-2", "j-1"]


@pytest.mark.s3
def test_buckets_count_by_what_their_objects_are_now(s3_credentials: S3Server) -> None:
    bucket = s3_credentials.bucket()
    objects = s3_credentials.client()
    objects.put_object(Bucket=bucket, Key="in/a", Body=b"1")
    source = f"s3://{bucket}/in/,opt=endpoint={s3_credentials.url},opt=region=us-east-1"
    with_bucket = job(inputs=[source])
    before = HERE.identity(with_bucket)
    assert HERE.identity(with_bucket) == before
    objects.put_object(Bucket=bucket, Key="in/a", Body=b"2")
    changed = HERE.identity(with_bucket)
    assert changed != before
    objects.put_object(Bucket=bucket, Key="in/b", Body=b"3")
    assert HERE.identity(with_bucket) != changed


@pytest.mark.s3
def test_a_bucket_that_can_not_be_listed_is_not_identified(s3_credentials: S3Server) -> None:
    source = f"s3://{s3_credentials.bucket()}/none/,opt=endpoint={s3_credentials.url},opt=region=us-east-1"
    with pytest.raises(Unidentified, match="can't be listed from here"):
        HERE.identity(job(inputs=[source]))
