"""``connect``: one word takes every program of a data directory to another cluster and back."""

from __future__ import annotations

import socket
import stat
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.tls.own_ca import OwnAuthority
from tests.cli.running import Shell, shell_of
from tests.services.node import ServedNode
from tests.services.official import ReplayedCluster, replayed_cluster
from tests.services.ports import free_port

BEARER = "the-token-of-the-cluster"


@pytest.fixture
def official() -> Iterator[ReplayedCluster]:
    with replayed_cluster() as cluster:
        yield cluster


@pytest.fixture
def guarded() -> Iterator[ReplayedCluster]:
    with replayed_cluster(credential=f"Bearer {BEARER}") as cluster:
        yield cluster


@contextmanager
def tls_only(cluster: ReplayedCluster, manners: str) -> Iterator[int]:
    """Listen for HTTPS in front of a cluster; plain HTTP gets no word, a reset, or words that nobody foresaw."""
    target = ("127.0.0.1", int(cluster.url.rpartition(":")[2]))

    def serve(caller: socket.socket) -> None:
        with caller:
            begins_with_tls = caller.recv(1, socket.MSG_PEEK) == b"\x16"
            if not begins_with_tls:
                if manners == "rude":
                    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                elif manners == "talkative":
                    caller.recv(65536)
                    caller.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno!")
                return
            with socket.create_connection(target) as onward:
                back = threading.Thread(target=_pour, args=(onward, caller))
                back.start()
                _pour(caller, onward)
                back.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def shell(served: ServedNode, tmp_path: Path) -> Iterator[Shell]:
    """Run command lines on the module's node, and leave no connection behind."""
    run = shell_of(served, tmp_path)
    yield run
    run("connect", "--own")
    for path in served.repo.profiles_dir.glob("*.yaml"):
        path.unlink()


def saved(served: ServedNode) -> dict[str, dict[str, object]]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in served.repo.profiles_dir.glob("*.yaml")}


def test_a_cluster_that_answers_is_saved_and_used_until_the_way_back_is_taken(
    shell: Shell, served: ServedNode, official: ReplayedCluster
) -> None:
    done = shell("connect", official.url)
    assert done.returncode == 0, done.stderr
    assert "official Bacalhau v1.9.3; 1 node; engines docker, wasm" in done.stdout
    assert "takes no uploads: up to 700 kB travel inside a job" in done.stdout
    assert "bacalhau-jupyter connect --own leads back" in done.stdout
    (name, tree), *_ = saved(served).items()
    assert tree == {"endpoint": official.url}
    assert "n-test" in shell("node", "list").stdout
    assert official.url in shell("connect").stdout
    back = shell("connect", "--own")
    assert f"connect --context {name} leads to {name} again" in back.stdout
    assert "n-test" not in shell("node", "list").stdout
    assert f"saved as {name}" in shell("connect", "--context", name).stdout
    assert "n-test" in shell("node", "list").stdout


def test_an_address_may_lack_its_scheme_and_have_a_path_of_the_api(
    shell: Shell, served: ServedNode, official: ReplayedCluster
) -> None:
    place = official.url.removeprefix("http://")
    for address in (place, f"{official.url}/api/v1/agent/alive", official.url):
        assert shell("connect", address).returncode == 0
    assert [tree["endpoint"] for tree in saved(served).values()] == [official.url]


def test_a_token_is_tried_kept_for_this_address_only_and_never_shown(
    shell: Shell, served: ServedNode, guarded: ReplayedCluster, official: ReplayedCluster, tmp_path: Path
) -> None:
    refused = shell("connect", guarded.url)
    assert refused.returncode == 1
    assert "does not accept requests without a credential" in refused.stderr
    assert "--token-file FILE or --user NAME" in refused.stderr
    wrong = shell("connect", guarded.url, "--token", "wrong")
    assert wrong.returncode == 1
    assert "does not accept this API key" in wrong.stderr
    expired = shell("connect", guarded.url, "--token", "a.b.c")
    assert "a token, which may have expired" in expired.stderr
    assert saved(served) == {}
    file = tmp_path / "token"
    file.write_text(f"{BEARER}\nsecond line\n")
    done = shell("connect", guarded.url, "--token-file", str(file))
    assert done.returncode == 0, done.stderr
    again = shell("connect", guarded.url, "--insecure")
    assert again.returncode == 1  # http has no certificate
    assert shell("connect", guarded.url).returncode == 0
    shown = shell("profile", "show").stdout
    for text in (done.stdout, done.stderr, shown, shell("connect").stdout):
        assert BEARER not in text
    path = next(served.repo.profiles_dir.glob("*.yaml"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # The same name for another address does not take the token along.
    assert shell("connect", official.url, "--name", path.stem).returncode == 0
    assert "auth" not in saved(served)[path.stem]
    # Nobody got a credential before it was known who answers.
    asked = zip(guarded.received.requests, guarded.received.credentials, strict=True)
    assert {credential for (_, url), credential in asked if url.endswith("/version")} == {""}


def test_a_token_that_no_header_can_hold_is_told_and_a_line_break_at_its_end_is_none_of_it(
    shell: Shell, served: ServedNode, guarded: ReplayedCluster
) -> None:
    broken = shell("connect", guarded.url, "--token", f"{BEARER}\nsecond line")
    assert broken.returncode == 1
    assert "holds a line break or another control character" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert BEARER not in broken.stderr
    assert saved(served) == {}
    assert shell("connect", guarded.url, "--token", f"{BEARER}\r\n").returncode == 0
    assert shell("job", "list").returncode == 0
    (path,) = served.repo.profiles_dir.glob("*.yaml")
    path.write_text(f"endpoint: {guarded.url}\nauth:\n  token: |\n    a\n    b\n")
    refused = shell("job", "list")
    assert refused.returncode == 1
    assert f"the token for {guarded.url} (profile {path.stem}) holds a line break" in refused.stderr


def test_a_user_name_asks_for_the_password(shell: Shell, served: ServedNode) -> None:
    with replayed_cluster(credential="Basic bWU6aHVzaA==") as cluster:
        done = shell("connect", cluster.url, "--user", "me", stdin="hush\n")
        assert done.returncode == 0, done.stderr
        assert "hush" not in done.stdout + done.stderr
        assert shell("job", "list").returncode == 0
        wrong = shell("connect", cluster.url, "--user", "me", "--name", "x", stdin="wrong\n")
        assert "does not accept this user name and password" in wrong.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--own", "http://h"], "connect takes one of"),
        (["--own", "--context", "x"], "connect takes one of"),
        (["--token", "x"], "connect takes one of"),
        (["http://h", "--token", "x", "--user", "y"], "give one of"),
        (["--context", "nobody"], 'profile "nobody" not found'),
        (["http://h", "--token-file", "/no/such"], "can't be read"),
        (["http://127.0.0.1:1", "--token", "hush\nhush"], "can't be reached"),
        (["http://h", "--user", "me:hush"], "a user name can't hold a colon"),
        (["http://h", "--ca", "/no/such"], "API.TLS.CAFile"),
        (["http://me:hush@h"], "holds a user or a password"),
        (["nats://h"], "where compute nodes join"),
        (["http://no-such-host.invalid"], "no such host is known"),
    ],
)
def test_nonsense_is_refused_in_one_sentence_and_changes_nothing(
    shell: Shell, served: ServedNode, words: list[str], reason: str
) -> None:
    done = shell("connect", *words)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert "hush" not in done.stderr
    assert saved(served) == {}


def test_who_does_not_answer_or_is_no_cluster_is_told_and_nothing_is_switched(
    shell: Shell, served: ServedNode, tmp_path: Path
) -> None:
    down = shell("connect", f"127.0.0.1:{free_port()}")
    assert "can't be reached: Connection refused" in down.stderr
    assert "check the address" in down.stderr
    assert shell("connect", served.url.replace("http", "https", 1)).stderr.count("does not speak HTTPS") == 1
    assert saved(served) == {}


def test_a_variable_that_chooses_the_cluster_is_named(shell: Shell, official: ReplayedCluster) -> None:
    done = shell("connect", official.url, BACALHAU_API_HOST="127.0.0.1", BACALHAU_API_PORT="1")
    assert done.returncode == 1
    assert "BACALHAU_API_HOST chooses the cluster" in done.stderr


def test_what_the_cluster_can_not_do_is_refused_before_anything_is_sent(
    shell: Shell, official: ReplayedCluster, tmp_path: Path
) -> None:
    assert shell("connect", official.url).returncode == 0
    deleted = shell("job", "delete", "j-1")
    assert "this cluster deletes no jobs" in deleted.stderr
    assert "bacalhau-jupyter job stop JOB" in deleted.stderr
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * 8_000_000)
    sent = shell("docker", "run", "-i", str(large), "busybox", "true")
    assert "takes no uploads" in sent.stderr
    assert "S3" in sent.stderr
    assert official.received.jobs == []
    assert not any(verb in ("DELETE", "POST") for verb, _ in official.received.requests)


def test_a_cluster_with_a_certificate_wants_its_authority_and_needs_no_scheme(
    shell: Shell, served: ServedNode, tmp_path: Path
) -> None:
    authority = OwnAuthority(tmp_path / "tls", ["127.0.0.1"], "n-tests", SystemClock())
    authority.pair()
    pair = tmp_path / "tls" / "node.pem"
    with replayed_cluster(certificate=(str(pair), str(pair))) as cluster:
        unknown = shell("connect", cluster.url)
        assert unknown.returncode == 1
        assert "by an authority that this client does not know" in unknown.stderr
        assert saved(served) == {}
        place = cluster.url.removeprefix("https://")
        done = shell("connect", place, "--ca", str(authority.ca_file))
        assert done.returncode == 0, done.stderr
        assert shell("node", "list").returncode == 0
        (tree,) = saved(served).values()
        assert tree == {"endpoint": cluster.url, "tls": {"ca": str(authority.ca_file)}}
        assert shell("connect", place, "--insecure", "--name", "x").returncode == 0


@pytest.mark.parametrize("manners", ["silent", "rude", "talkative"])
def test_a_server_that_speaks_https_only_is_found_without_a_scheme(
    shell: Shell, served: ServedNode, tmp_path: Path, manners: str
) -> None:
    authority = OwnAuthority(tmp_path / "tls", ["127.0.0.1"], "n-tests", SystemClock())
    authority.pair()
    pair = tmp_path / "tls" / "node.pem"
    bundle = {"SSL_CERT_FILE": str(authority.ca_file)}
    with replayed_cluster(certificate=(str(pair), str(pair))) as cluster, tls_only(cluster, manners) as port:
        # Its certificate is that of an authority which the system trusts.
        done = shell("connect", f"127.0.0.1:{port}", **bundle)
        assert done.returncode == 0, done.stderr
        (tree,) = saved(served).values()
        assert tree == {"endpoint": f"https://127.0.0.1:{port}"}
        unknown = shell("connect", f"127.0.0.1:{port}", "--name", "x")
        assert unknown.returncode == 1
        assert "by an authority that this client does not know" in unknown.stderr
        refused = shell("connect", f"http://127.0.0.1:{port}", "--name", "x", **bundle)
        assert f"http://127.0.0.1:{port} speaks HTTPS, not HTTP" in refused.stderr
        assert set(cluster.received.credentials) == {""}
