"""Results from Python: listed without being fetched, read in place, merged; a real node, bytes counted on the way."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.build import JobOptions, job_of, process
from bacalhau_jupyter.client.results.progress import progress_text, run_shown
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.results.sources import NoDownloader, link_to
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.errors import BacalhauError, Conflict, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.transfer.archive.ranges import TAIL
from bacalhau_jupyter.transfer.core.scratch import scratch_directory
from tests.client.relay import Relay
from tests.services.node import ServedNode, start_node
from tests.services.waiting import until

MB = 1 << 20
FILL = """
mkdir -p outputs/sub
printf 'a,b\\n1,2\\n3,4\\n' > outputs/table.csv
printf '{"x": [1, 2]}' > outputs/data.json
printf '<svg xmlns="http://www.w3.org/2000/svg"/>' > outputs/sub/drawing.svg
ln -s sub/note.txt outputs/link
echo remember > outputs/sub/note.txt
echo printed; echo wrong >&2
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    started = start_node(tmp_path_factory.mktemp("results") / "repo")
    yield started
    started.stop()


@pytest.fixture(scope="module")
def relay(served: ServedNode) -> Iterator[Relay]:
    made = Relay(served.url)
    with pytest.MonkeyPatch.context() as patch:
        # The way of a client on another machine: what it reads comes through here.
        patch.setattr("bacalhau_jupyter.client.jobs.job.is_near", lambda url: False)
        yield made
    made.close()


@pytest.fixture(scope="module")
def client(relay: Relay, served: ServedNode) -> Iterator[Client]:
    with Client(relay.url, api_key=served.repo.api_key()) as made:
        yield made


@pytest.fixture(scope="module")
def small(client: Client) -> JobResult:
    return client.submit(process(FILL)).result()


@pytest.fixture(scope="module")
def large(client: Client) -> JobResult:
    """A result of 64 MB that does not shrink, in four files."""
    script = (
        "for i in 1 2 3 4; do head -c 16777216 /dev/urandom > outputs/$i.bin; done; echo x > outputs/z.txt"
    )
    return client.submit(process(script)).result()


def counted(relay: Relay, work: Callable[[], Any]) -> tuple[Any, int]:
    before = relay.received
    return work(), relay.received - before


def test_listing_and_reading_a_bit_of_a_large_result_fetches_only_that(
    client: Client, large: JobResult, relay: Relay
) -> None:
    fresh = client.job(large.job.id).outcome()
    names, cost = counted(relay, lambda: fresh.ls("outputs/*"))
    assert names == ["outputs/1.bin", "outputs/2.bin", "outputs/3.bin", "outputs/4.bin", "outputs/z.txt"]
    assert cost < TAIL + 20_000
    assert [entry.size for entry in fresh.entries() if entry.path == "outputs/3.bin"] == [16 * MB]
    with fresh.open("outputs/3.bin") as file:
        assert file.seekable()
        _, cost = counted(relay, lambda: (file.seek(-8, os.SEEK_END), file.read(8)))
        assert cost < 3 * MB
        end = file.seek(0, os.SEEK_END)
        assert end == 16 * MB
        assert file.read() == b""
    text, cost = counted(relay, lambda: fresh.text("z.txt"))
    assert text == "x\n"
    assert cost < 3 * MB
    _, cost = counted(relay, lambda: fresh.files["outputs/2.bin"])
    assert 16 * MB < cost < 19 * MB


def test_a_file_reads_the_same_in_any_pieces(client: Client, large: JobResult, tmp_path: Path) -> None:
    path = large.get("outputs/4.bin", tmp_path)
    assert path == tmp_path / "4.bin"
    data = path.read_bytes()
    assert len(data) == 16 * MB
    with client.job(large.job.id).outcome().open("4.bin") as file:
        whole = file.read()
        file.seek(100)
        pieces = b"".join(iter(lambda: file.read(700_001), b""))
        file.seek(5 * MB)
        middle = file.read(10)
        file.seek(MB)
        line = bytearray(3 * MB)
        assert file.readinto(line) == 3 * MB
    assert (whole, pieces, middle) == (data, data[100:], data[5 * MB : 5 * MB + 10])
    assert bytes(line) == data[MB : 4 * MB]


def test_a_cut_download_continues_where_it_broke(
    client: Client, large: JobResult, relay: Relay, tmp_path: Path
) -> None:
    relay.cut_after = 30 * MB
    cuts = relay.cuts
    _, cost = counted(relay, lambda: client.job(large.job.id).get(tmp_path / "all"))
    assert relay.cuts == cuts + 1
    # Some of what was on its way is lost with a connection, not what had arrived.
    assert 64 * MB < cost < 70 * MB
    assert (tmp_path / "all/outputs/4.bin").read_bytes() == large.bytes("outputs/4.bin")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        "exitCode",
        "outputs",
        "stderr",
        "stdout",
    ]


def test_a_result_is_like_a_small_file_system(small: JobResult, tmp_path: Path) -> None:
    assert small.ls() == [
        "exitCode",
        "outputs/data.json",
        "outputs/link",
        "outputs/sub/drawing.svg",
        "outputs/sub/note.txt",
        "outputs/table.csv",
        "stderr",
        "stdout",
    ]
    assert small.ls("*.csv") == ["outputs/table.csv"]
    assert small.ls(raw=True)[0].split("/")[0].startswith("e-")
    assert small.text() == "printed\n"
    assert (small.stdout, small.stderr) == ("printed\n", "wrong\n")
    assert small.text("sub/note.txt") == "remember\n"
    assert small.bytes("outputs/link") == b"remember\n"
    assert small.bytes(small.ls(raw=True)[-1]) == b"printed\n"
    assert small.json("data.json") == {"x": [1, 2]}
    assert small.image()._repr_html_().startswith('<img src="data:image/svg+xml;base64,')
    assert small.df()["b"].tolist() == [2, 4]
    assert small.df("*.csv").shape == (2, 2)
    assert (small.path / "outputs/link").read_text() == "remember\n"
    assert set(small.files) == set(small.ls())
    assert small.files["outputs/link"].read_text() == "remember\n"
    assert small.get("outputs/sub", tmp_path) == tmp_path / "sub"
    assert (tmp_path / "sub/note.txt").read_text() == "remember\n"
    assert small.get("table.csv", tmp_path / "other.csv") == tmp_path / "other.csv"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.csv", "sub"]


def test_what_is_not_there_or_not_what_was_asked_for_is_said_in_a_sentence(
    small: JobResult, tmp_path: Path
) -> None:
    for name in ("nope.txt", "../../etc/passwd", "outputs/../../x", "/etc/passwd"):
        with pytest.raises(NotFound) as caught:
            small.open(name)
        assert "outputs/table.csv" in caught.value.hint
    with pytest.raises(NotFound, match="is not a file"):
        small.open("outputs")
    with pytest.raises(KeyError):
        small.files["nope"]
    with pytest.raises(NotFound, match=r"hold no \*\.parquet"):
        small.df("*.parquet")
    with pytest.raises(BacalhauError, match="is not JSON"):
        small.json("sub/note.txt")
    with pytest.raises(BacalhauError, match="is not an image"):
        small.image("sub/note.txt")
    (tmp_path / "sub").mkdir()
    with pytest.raises(BacalhauError, match="is there already"):
        small.get("outputs/sub", tmp_path)
    with pytest.raises(BacalhauError, match="no/such"):
        small.get("stdout", tmp_path / "no/such/place")
    with pytest.raises(BacalhauError, match="limit for one frame is 5"):
        small.df("*.csv", size_limit=5)


def test_several_executions_are_merged_as_the_official_client_does(client: Client, tmp_path: Path) -> None:
    script = "i=$BACALHAU_PARTITION_INDEX; echo part $i; mkdir outputs/d; echo $i > outputs/d/$i"
    job = client.submit(process(script, count=3))
    result = job.result()
    assert result.ls("outputs/*") == ["outputs/d/0", "outputs/d/1", "outputs/d/2"]
    assert sorted(result.text("stdout").splitlines()) == ["part 0", "part 1", "part 2"]
    assert result.bytes("exitCode") == b"000"
    assert len(result.ls("*/exitCode", raw=True)) == 3
    target = job.get(tmp_path / "all")
    assert (target / "exitCode").read_text() == "000"
    assert sorted((target / "stdout").read_text().splitlines()) == ["part 0", "part 1", "part 2"]
    assert (target / "outputs/d/2").read_text() == "2\n"
    assert result.get("outputs/d", tmp_path).joinpath("1").read_text() == "1\n"
    assert (result.path / "outputs/d/0").read_text() == "0\n"


def test_the_same_file_of_several_executions_is_a_clash_by_name_and_one_frame_with_a_source(
    client: Client, tmp_path: Path
) -> None:
    script = "i=$BACALHAU_PARTITION_INDEX; printf 'n\\n%s\\n' $i > outputs/part.csv; echo $i > outputs/$i.txt"
    job = client.submit(process(script, count=2))
    result = job.result()
    with pytest.raises(
        Conflict, match=r"cannot merge results as output already exists: outputs/part\.csv"
    ) as caught:
        result.ls()
    assert "--raw" in caught.value.hint
    with pytest.raises(Conflict):
        result.open("outputs/part.csv")
    with pytest.raises(Conflict):
        result.get("outputs", tmp_path)
    with pytest.raises(Conflict, match="cannot merge results"):
        job.get(tmp_path / "all")
    assert not (tmp_path / "all").exists()
    raw = result.ls("*/outputs/part.csv", raw=True)
    assert [result.bytes(name).split()[0] for name in raw] == [b"n", b"n"]
    assert result.bytes("outputs/1.txt") == b"1\n"
    frame = result.df("part.csv")
    assert sorted(frame["n"]) == [0, 1]
    assert sorted(frame["source"]) == sorted(raw)
    assert result.df()["n"].sum() == 1
    job.get(tmp_path / "raw", raw=True)
    archives = sorted((tmp_path / "raw/raw").iterdir())
    assert len(archives) == 2
    for archive in archives:
        assert archive.name.startswith("127.0.0.1_")
        assert archive.name.endswith(".tar.gz")
        with tarfile.open(archive) as tar:
            assert "outputs/part.csv" in tar.getnames()


def test_without_a_publisher_there_is_what_the_record_holds(client: Client) -> None:
    result = client.submit(
        job_of(SpecConfig(type="process", params={"Command": ["echo", "hi"]}), JobOptions(outputs=()))
    ).result()
    assert result.text() == "hi\n"
    assert "outputs" not in "".join(result.ls())


def test_a_result_that_cant_be_read_from_here_is_an_error_with_that_reason(
    client: Client, small: JobResult
) -> None:
    from bacalhau_jupyter.client.results.sources import open_sources

    async def again() -> list[SpecConfig]:
        return []

    for spec, says in (
        (SpecConfig(type="teleport", params={"To": "mars"}), "mars"),
        (SpecConfig(type="ipfs", params={"CID": "QmX"}), "ResultDownloaders.Types.IPFS.Endpoint"),
    ):
        with pytest.raises(NoDownloader, match=spec.type) as caught:
            open_sources([spec], [], client.endpoint, again)
        assert says in caught.value.hint


def test_only_the_cluster_itself_ever_sees_our_credential() -> None:
    gateway = Endpoint("https://hub/user/x/bacalhau", token="secret")
    there = link_to("/user/x/bacalhau/api/v1/compute/results/e.tar.gz?signature=s", gateway)
    assert there.url == "https://hub/user/x/bacalhau/api/v1/compute/results/e.tar.gz?signature=s"
    assert there.headers == {"Authorization": "Bearer secret"}
    for elsewhere in (
        "https://s3.example/x.tar.gz",
        "https://hub/user/x/bacalhau-not/x",
        "https://hub:444/x",
        "//evil/x",
    ):
        assert link_to(elsewhere, gateway).headers == {}


def test_a_link_that_expired_is_asked_for_again(
    client: Client, small: JobResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = client.job(small.job.id)
    listed = handle.results
    stale = [SpecConfig(type=item.type, params={"URL": item.params["URL"] + "0"}) for item in listed()]
    monkeypatch.setattr(handle, "results", lambda: stale)
    assert handle.outcome().bytes("outputs/table.csv") == b"a,b\n1,2\n3,4\n"


def test_a_download_that_takes_longer_than_a_moment_shows_how_far_it_is(client: Client) -> None:
    shown: list[str] = []

    class Line:
        def show(self, text: str) -> None:
            shown.append(text)

    def has_shown(count: int) -> bool:
        return len(shown) >= count

    ticks = iter(range(10_000))

    async def work(progress: Any) -> str:
        for done in range(4):
            progress(Reading("downloading results", done * 1_000_000, 3_000_000, done, 3))
            await until(partial(has_shown, done + 1))
        return "done"

    assert run_shown(client.portal, work, line=Line(), clock=lambda: next(ticks)) == "done"
    assert shown[-1] == ""
    assert "downloading results 1.0 MB of 3.0 MB (33 %), 1 of 3 files" in shown
    assert progress_text(Reading("packing", 5)) == "packing 5 B"


def test_a_time_limit_ends_a_download_and_leaves_nothing(
    client: Client, large: JobResult, tmp_path: Path
) -> None:
    with pytest.raises(BacalhauError, match="did not arrive within"):
        client.job(large.job.id).get(tmp_path / "out", timeout_s=0.001)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_lives_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f"bacalhau-result-{gone.pid}-abc"
    ours = tmp_path / f"bacalhau-result-{os.getpid()}-abc"
    other = tmp_path / "bacalhau-result-notes"
    for directory in (left, ours, other):
        directory.mkdir()
        (directory / "file").write_text("x")
    made = scratch_directory()
    assert made.is_dir()
    assert made.stat().st_mode & 0o077 == 0
    assert not left.exists()
    assert ours.exists()
    assert other.exists()


def test_the_shell_gets_whole_results_single_files_and_raw_archives(
    served: ServedNode, small: JobResult, tmp_path: Path
) -> None:
    def shell(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BACALHAU_")}
        return subprocess.run(
            [sys.executable, "-m", "bacalhau_jupyter", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
            env={**environment, "BACALHAU_DIR": str(served.repo.path)},
        )

    name = small.job.id
    done = shell("job", "get", f"{name}/outputs/table.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"Results for job '{name}' have been written to...\n{tmp_path}/job-{name}\n"
    assert done.stderr == f"Fetching results of job '{name}'...\n"
    assert (tmp_path / f"job-{name}/outputs/table.csv").read_text() == "a,b\n1,2\n3,4\n"
    assert not (tmp_path / f"job-{name}/stdout").exists()
    wrong = shell("job", "get", f"{name}/outputs/nope")
    assert wrong.returncode == 1
    assert "hold no outputs/nope" in wrong.stderr
    assert "there is: exitCode, outputs/data.json" in wrong.stderr
    (tmp_path / "here").mkdir()
    raw = shell("job", "get", name, "--raw", "--output-dir", "here", "--download-timeout-secs", "1m")
    assert raw.returncode == 0, raw.stderr
    [archive] = (tmp_path / "here/raw").iterdir()
    execution = small.executions[0].id
    assert archive.name.endswith(f"_api_v1_compute_results_{execution}.tar.gz")
    tree = shell("job", "get", f"{name}/outputs/sub", "--output-dir", "here")
    assert tree.returncode == 0, tree.stderr
    assert (tmp_path / "here/outputs/sub/note.txt").read_text() == "remember\n"
    both = shell("job", "get", f"{name}/x", "--raw")
    assert both.returncode == 1
