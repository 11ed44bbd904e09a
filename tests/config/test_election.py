"""One node per repo: real processes race for a real lock."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bacalhau_jupyter.config.election import NodeLock, NodeRunning, base_url, read_record
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib import clock
from bacalhau_jupyter.lib.clock import process_start
from bacalhau_jupyter.models.errors import Conflict

# Prints "held" or "refused", then waits for its input to end (or to be killed).
CONTENDER = """
import sys
from bacalhau_jupyter.config.election import NodeLock, NodeRunning
from bacalhau_jupyter.config.repo import Repo
sys.stdin.readline()
try:
    lock = NodeLock.acquire(Repo(sys.argv[1]), "1.0")
    lock.publish("127.0.0.1", 4321)
    print("held", flush=True)
    sys.stdin.read()
    lock.release()
except NodeRunning as error:
    print("refused", flush=True)
    sys.stdin.read()
"""


@contextmanager
def contenders(repo: Repo, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, str(repo.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        yield children
    finally:
        for child in children:
            child.kill()
            child.communicate(timeout=60)


def say(child: subprocess.Popen[str], text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(text)
    child.stdin.flush()


def heard(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


@pytest.mark.timeout(120)
def test_of_twenty_processes_that_start_at_once_exactly_one_becomes_the_node(repo: Repo) -> None:
    with contenders(repo, 20) as children:
        for child in children:
            say(child, "go\n")
        answers = [heard(child) for child in children]
        assert sorted(answers) == ["held"] + ["refused"] * 19
        winner = children[answers.index("held")]
        record = read_record(repo)
        assert record is not None
        assert (record.pid, record.port, record.url) == (winner.pid, 4321, "http://127.0.0.1:4321")


def test_killing_the_holder_frees_the_lock_and_its_record_counts_no_more(repo: Repo) -> None:
    with contenders(repo, 1) as [child]:
        say(child, "go\n")
        assert heard(child) == "held"
        with pytest.raises(NodeRunning) as caught:
            NodeLock.acquire(repo, "1.0")
        assert caught.value.record == read_record(repo)
        assert f"a node already runs for {repo.path} (pid {child.pid}, http://127.0.0.1:4321)" in str(
            caught.value
        )
        assert isinstance(caught.value, Conflict)
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=60)
        assert repo.node_record.exists()
        assert read_record(repo) is None
        with NodeLock.acquire(repo, "1.0") as lock:
            assert lock.record.pid == os.getpid()


def test_reading_the_record_does_not_free_the_lock(repo: Repo) -> None:
    with NodeLock.acquire(repo, "1.0"):
        for _ in range(3):
            read_record(repo)
            repo.node_lock.read_text()
        with pytest.raises(NodeRunning):
            NodeLock.acquire(repo, "1.0")


def test_a_starting_node_has_no_port_yet(repo: Repo) -> None:
    with NodeLock.acquire(repo, "1.0", instance_id="i") as lock:
        record = read_record(repo)
        assert record == lock.record
        assert record is not None
        assert (record.port, record.instance_id, record.version) == (0, "i", "1.0")
        assert read_record(repo) == lock.record
        published = lock.publish("0.0.0.0", 99)
        assert read_record(repo) == published
        assert published.url == "http://127.0.0.1:99"


def test_releasing_removes_the_record_and_can_be_done_twice(repo: Repo) -> None:
    lock = NodeLock.acquire(repo, "1.0")
    lock.release()
    lock.release()
    assert read_record(repo) is None
    assert repo.node_lock.exists()
    first = lock.record.instance_id
    with NodeLock.acquire(repo, "1.0") as again:
        assert again.record.instance_id != first


def test_a_removed_lock_file_does_not_make_two_nodes_of_one(repo: Repo) -> None:
    with NodeLock.acquire(repo, "1.0"):
        repo.node_lock.unlink()
        # The file is gone, so a new one can be locked: that is what was asked for by deleting it.
        with NodeLock.acquire(repo, "1.0"):
            assert repo.node_lock.exists()
            with pytest.raises(NodeRunning):
                NodeLock.acquire(repo, "1.0")


def foreign(repo: Repo, **changes: object) -> None:
    with NodeLock.acquire(repo, "1.0") as lock:
        lock.publish("127.0.0.1", 1)
        plain = json.loads(repo.node_record.read_text())
    repo.node_record.write_text(json.dumps({**plain, **changes}))


def test_a_lock_held_on_another_host_is_refused_in_one_sentence(repo: Repo) -> None:
    foreign(repo, host="elsewhere", pid=77)
    record = repo.node_record.read_text()
    with NodeLock.acquire(repo, "1.0"):
        repo.node_record.write_text(record)
        with pytest.raises(NodeRunning) as caught:
            NodeLock.acquire(repo, "1.0")
    assert caught.value.message == f"the node of {repo.path} runs on another host, elsewhere (pid 77)"
    assert str(repo.node_record) in caught.value.hint
    assert read_record(repo) is None


def test_on_a_network_file_system_the_record_of_another_host_is_believed(repo: Repo) -> None:
    foreign(repo, host="elsewhere")
    repo.__dict__["on_network"] = True
    with pytest.raises(NodeRunning, match="another host, elsewhere"):
        NodeLock.acquire(repo, "1.0")
    repo.__dict__["on_network"] = False
    NodeLock.acquire(repo, "1.0").release()


@pytest.mark.parametrize(
    "changes",
    [{"start_time": 1}, {"boot_id": "another"}, {"pid": 2**22 + 1}, {"host": "elsewhere"}, {"pid": "1"}],
)
def test_a_record_of_another_process_boot_or_host_counts_for_nothing(
    repo: Repo, changes: dict[str, object]
) -> None:
    foreign(repo, **changes)
    assert read_record(repo) is None


def test_members_of_a_newer_version_are_ignored(repo: Repo) -> None:
    foreign(repo, colour="blue")
    record = read_record(repo)
    assert record is not None
    assert record.pid == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_record_counts_for_nothing(repo: Repo, text: str) -> None:
    repo.node_record.write_text(text)
    assert read_record(repo) is None


def test_a_process_that_has_ended_but_was_not_reaped_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    try:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_start(child.pid) is None
    finally:
        child.wait(timeout=60)
    assert process_start(os.getpid())


def test_without_proc_a_living_pid_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clock._exists(os.getpid()) == 0
    assert clock._exists(2**22 + 1) is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:5"),
        ("0.0.0.0", "http://127.0.0.1:5"),
        ("", "http://127.0.0.1:5"),
        ("::", "http://[::1]:5"),
        ("::1", "http://[::1]:5"),
        ("box.example", "http://box.example:5"),
    ],
)
def test_a_listener_is_dialled_at(host: str, url: str) -> None:
    assert base_url(host, 5) == url
