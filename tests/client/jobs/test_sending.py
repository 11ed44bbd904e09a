"""Inputs of any size, from the client's machine to jobs of a real node."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.inputs.inline import SMALL, inline
from bacalhau_jupyter.client.inputs.pending import PENDING, PendingInput
from bacalhau_jupyter.client.inputs.uri import parse_input
from bacalhau_jupyter.client.jobs.build import docker, process
from bacalhau_jupyter.client.jobs.sending import INLINE_BUDGET
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from tests.client.relay import Relay
from tests.services.node import ServedNode, start_node

BIG = 3_000_000


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    started = start_node(tmp_path_factory.mktemp("sending") / "repo")
    yield started
    started.stop()


@pytest.fixture
def client(served: ServedNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name in [name for name in os.environ if name.startswith("BACALHAU_")]:
        monkeypatch.delenv(name)
    with Client(data_dir=str(served.repo.path)) as made:
        yield made


@pytest.fixture
def big(tmp_path: Path) -> Path:
    file = tmp_path / "big.bin"
    file.write_bytes(os.urandom(BIG))
    return file


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def contents(served: ServedNode) -> list[str]:
    return [path.name for path in (served.repo.path / "uploads" / "contents").iterdir()]


def drafts(served: ServedNode) -> list[Path]:
    return list((served.repo.path / "uploads" / "drafts").iterdir())


def sent_types(client: Client, job: Job) -> list[str]:
    return [item.source.type for item in client.sent(job).task.input_sources]


@pytest.mark.process
def test_a_large_file_is_at_its_target_in_a_process_job(client: Client, big: Path) -> None:
    job = process(
        "sha256sum inputs/big.bin; test -r /inputs/big.bin || test -r inputs/big.bin", inputs=[str(big)]
    )
    assert client.submit(job).result().stdout.split()[0] == sha256(big)


@pytest.mark.docker
def test_a_large_file_is_at_its_target_in_a_container(client: Client, big: Path, busybox_image: str) -> None:
    job = docker(busybox_image, "sha256sum /data/x.bin", inputs=[f"{big}:/data/x.bin"])
    assert client.submit(job).result().stdout.split()[0] == sha256(big)


@pytest.mark.process
def test_two_large_files_lie_beside_each_other(client: Client, big: Path) -> None:
    other = big.with_name("other.bin")
    other.write_bytes(os.urandom(BIG))
    job = process("sha256sum inputs/big.bin inputs/other.bin", inputs=[str(big), str(other)])
    printed = client.submit(job).result().stdout
    assert sha256(big) in printed and sha256(other) in printed


@pytest.mark.process
def test_a_large_folder_keeps_its_tree_modes_and_what_links_mean(client: Client, big: Path) -> None:
    folder = big.parent / "folder"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "empty").mkdir()
    big.rename(folder / "deep" / "er" / "big.bin")
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("/etc/hostname")
    (folder / "dangling").symlink_to("/nowhere")
    digest = sha256(folder / "deep" / "er" / "big.bin")
    command = "sha256sum inputs/deep/er/big.bin; inputs/run.sh; ls inputs; cat inputs/link"
    printed = client.submit(process(command, inputs=[str(folder)])).result().stdout
    assert printed.split()[0] == digest
    assert "ran" in printed and "empty" in printed and "dangling" not in printed
    assert Path("/etc/hostname").read_text().strip() in printed


@pytest.mark.docker
def test_a_large_folder_comes_to_a_container(client: Client, big: Path, busybox_image: str) -> None:
    job = docker(busybox_image, "sha256sum /data/big.bin", inputs=[f"{big.parent}:/data"])
    assert client.submit(job).result().stdout.split()[0] == sha256(big)


def test_the_spec_carries_a_link_and_not_the_bytes(client: Client, big: Path) -> None:
    (item,) = client.sent(process("true", inputs=[str(big)])).task.input_sources
    assert item.source.type == "urlDownload" and item.target == "/inputs/big.bin"
    assert item.source.params["File"] is True and len(item.source.params["URL"]) < 300


def test_small_inputs_stay_in_the_job_until_together_they_are_large(client: Client, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.bin" for number in range(8)]
    for file in files:
        file.write_bytes(os.urandom(INLINE_BUDGET // 8))
    assert sent_types(client, process("true", inputs=[str(files[0])])) == ["inline"]
    types = sent_types(client, process("true", inputs=[str(file) for file in files]))
    assert types.count("inline") == 6 and types.count("urlDownload") == 2


def test_a_tiny_file_is_in_the_job_from_the_beginning(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(bytes(SMALL))
    assert parse_input(str(file)).source.type == "inline"


def test_what_has_not_travelled_yet_is_shown_by_name_and_size(big: Path) -> None:
    job = process("true", inputs=[str(big)])
    (shown,) = to_plain(job)["Tasks"][0]["InputSources"]
    assert shown["Source"] == {"Type": PENDING, "Params": {"Name": "big.bin", "Bytes": BIG}}
    assert shown["Alias"] == str(big)


def test_a_spec_of_somebody_else_sends_no_file_of_this_machine(client: Client, big: Path) -> None:
    plain = to_plain(process("true", inputs=[str(big)]))
    with pytest.raises(BadRequest, match="stands for a file that is not part of this spec") as caught:
        client.submit(plain)
    assert "-i PATH" in caught.value.hint


def test_an_unchanged_file_is_neither_read_nor_stored_again(
    client: Client, served: ServedNode, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = client.sent(process("true", inputs=[str(big)]))
    monkeypatch.setattr("bacalhau_jupyter.client.jobs.sending._write", None)
    second = client.sent(process("true", inputs=[str(big)]))
    path = [str(job.task.input_sources[0].source.params["URL"]).partition("?")[0] for job in (first, second)]
    assert path[0] == path[1] and drafts(served) == []


def test_a_changed_file_is_sent_anew(client: Client, served: ServedNode, big: Path) -> None:
    client.sent(process("true", inputs=[str(big)]))
    big.write_bytes(os.urandom(BIG))
    client.sent(process("true", inputs=[str(big)]))
    assert sha256(big) in contents(served)


def test_the_file_in_the_store_is_no_second_name_of_the_clients(
    client: Client, served: ServedNode, big: Path
) -> None:
    before = sha256(big)
    client.sent(process("true", inputs=[str(big)]))
    with big.open("r+b") as file:
        file.write(b"edited in place")
    assert sha256(served.repo.path / "uploads" / "contents" / before / "content") == before


def test_two_that_send_the_same_file_at_once_leave_one_content(
    client: Client, served: ServedNode, big: Path
) -> None:
    failures: list[BaseException] = []

    def send(url: str) -> None:
        try:
            with Client(url, api_key=served.key) as other:
                other.sent(process("true", inputs=[str(big)]))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(served.url,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == [] and contents(served).count(sha256(big)) == 1 and drafts(served) == []


# ---- over the network


@pytest.fixture
def relay(served: ServedNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    # The way of a client on another machine, which sees no path of the node's.
    monkeypatch.setattr("bacalhau_jupyter.client.jobs.sending.is_near", lambda url: False)
    made = Relay(served.url)
    yield made
    made.close()


@pytest.fixture
def far(served: ServedNode, relay: Relay) -> Iterator[Client]:
    with Client(relay.url, api_key=served.key) as made:
        yield made


def test_an_upload_that_is_cut_goes_on_where_it_broke(
    far: Client, relay: Relay, served: ServedNode, tmp_path: Path
) -> None:
    file = tmp_path / "big.bin"
    file.write_bytes(os.urandom(20_000_000))
    relay.cut_sent_after = 16_000_000
    far.sent(process("true", inputs=[str(file)]))
    assert relay.cuts == 1 and sha256(file) in contents(served)
    # All of it twice would be 36 MB; what lay in buffers of the cut connection, a few, goes a second time.
    assert relay.sent < 30_000_000


def test_what_the_caller_sent_before_is_not_sent_again_over_the_network(
    far: Client, relay: Relay, served: ServedNode, big: Path
) -> None:
    far.sent(process("true", inputs=[str(big)]))
    before = relay.sent
    with Client(relay.url, api_key=served.key) as other:
        other.sent(process("true", inputs=[str(big)]))
    assert relay.sent - before < 100_000


def test_a_folder_travels_over_the_network_as_one_archive(far: Client, big: Path) -> None:
    job = process("sha256sum inputs/big.bin", inputs=[str(big.parent)])
    assert far.submit(job).result().stdout.split()[0] == sha256(big)


# ---- what can't be sent


def test_a_file_that_grows_while_it_is_sent_is_refused(
    client: Client, served: ServedNode, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bacalhau_jupyter.transfer.core import taking

    copy = taking.copy_descriptor

    def meanwhile(source: int, target: int, stop: threading.Event | None = None) -> int:
        copied = copy(source, target, stop)
        with big.open("ab") as file:
            file.write(b"more")
        return copied

    monkeypatch.setattr(taking, "copy_descriptor", meanwhile)
    with pytest.raises(BadRequest, match="changed while it was sent"):
        client.sent(process("true", inputs=[str(big)]))
    assert drafts(served) == []


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadRequest, match="neither a file nor a directory"):
        parse_input(str(tmp_path / "pipe"))


def test_a_link_to_nothing_says_so(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/nowhere")
    with pytest.raises(BadRequest, match=r"can't be read: No such file"):
        parse_input(str(tmp_path / "link"))


def test_a_link_to_a_file_is_that_file(client: Client, served: ServedNode, big: Path) -> None:
    link = big.with_name("link.bin")
    link.symlink_to(big)
    client.sent(process("true", inputs=[str(link)]))
    assert sha256(big) in contents(served)


@pytest.mark.process
def test_a_large_file_whose_name_is_not_text_comes_all_the_same(client: Client, big: Path) -> None:
    odd = big.with_name("o\udcffdd.bin")
    big.rename(odd)
    job = process("sha256sum inputs/*.bin", inputs=[str(odd)])
    assert client.submit(job).result().stdout.split()[0].lstrip("\\") == sha256(odd)


def test_inline_data_that_is_too_large_names_the_way_out() -> None:
    with pytest.raises(BadRequest) as caught:
        inline(bytes(7_000_000), "/inputs/x")
    assert "-i PATH" in caught.value.hint


def test_a_pending_input_is_what_the_short_form_makes_of_a_large_file(big: Path) -> None:
    assert isinstance(parse_input(str(big)), PendingInput)


@pytest.mark.process
@pytest.mark.parametrize("tier", ["bubblewrap", "landlock"])
def test_files_and_folders_come_to_each_tier_and_jobs_can_not_change_what_is_stored(
    tmp_path: Path, big: Path, tier: str
) -> None:
    node = start_node(tmp_path / "repo", "-c", f"Engines.Process.Tiers={tier}")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "x.bin").write_bytes(os.urandom(BIG))
    command = (
        "sha256sum inputs/big.bin inputs/f/x.bin; chmod u+w inputs/big.bin; echo changed >> inputs/big.bin; "
        "rm -f inputs/big.bin; echo over"
    )
    try:
        with Client(node.url, api_key=node.key) as client:
            job = process(command, inputs=[str(big), f"{folder}:/inputs/f"])
            printed = client.submit(job).result().stdout
            assert sha256(big) in printed and sha256(folder / "x.bin") in printed and "over" in printed
            stored = node.repo.path / "uploads" / "contents" / sha256(big) / "content"
            assert sha256(stored) == sha256(big)
            again = client.submit(process("sha256sum inputs/big.bin", inputs=[str(big)])).result().stdout
            assert sha256(big) in again
    finally:
        node.stop()
