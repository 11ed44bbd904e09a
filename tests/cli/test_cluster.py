"""`cluster open|show|close` in a shell and in a notebook, against a real node: no output holds the token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.running import Shell
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory, node, node_factory

__all__ = ["node", "node_factory"]

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


def test_a_cluster_is_opened_shown_and_closed_without_its_token_in_any_output(
    served: ServedNode, shell: Shell
) -> None:
    closed = shell("cluster", "show")
    assert "Open    = no" in closed.stdout
    opened = shell("cluster", "open")
    assert opened.returncode == 0, opened.stderr
    token = served.repo.cluster_token_file.read_text().strip()
    assert f"Token             = {served.repo.cluster_token_file}" in opened.stdout
    assert "bacalhau-jupyter --data-dir DIR cluster join nats://127.0.0.1:" in opened.stdout
    assert f"--token-file {served.repo.cluster_token_file}\n" in opened.stdout
    assert f'TOKEN="$(cat {served.repo.cluster_token_file})" bacalhau serve --compute' in opened.stdout
    assert "Official nodes share the token" in opened.stdout
    shown = shell("cluster", "show", "--output", "json")
    record = json.loads(shown.stdout)
    assert (record["IsOpen"], record["Link"]["IsUp"]) == (True, True)
    config = shell("agent", "config", "--output", "json")
    gone = shell("cluster", "close")
    assert gone.stdout.startswith("The cluster is closed.")
    texts = [each.stdout + each.stderr for each in (opened, shown, config, gone)] + [served.tail(1000)]
    assert not [text for text in texts if token in text]


def test_a_node_that_is_to_join_its_own_cluster_says_so_and_where_the_line_belongs(
    served: ServedNode, shell: Shell
) -> None:
    shell("cluster", "open")
    address = json.loads(shell("cluster", "show", "--output", "json").stdout)["Address"]
    for spelling in (address, address.removeprefix("nats://"), address.replace("127.0.0.1", "localhost")):
        refused = shell("cluster", "join", spelling, "--token-file", str(served.repo.cluster_token_file))
        assert refused.returncode == 1
        assert "is the node's own cluster, whose jobs it runs already" in refused.stderr
        assert "with another --data-dir" in refused.stderr
    assert shell("cluster", "close").returncode == 0


def test_a_machine_that_joins_without_the_token_reads_which_option_gives_it(
    served: ServedNode, shell: Shell, node_factory: NodeFactory, tmp_path: Path
) -> None:
    shell("cluster", "open")
    address = json.loads(shell("cluster", "show", "--output", "json").stdout)["Address"]
    other = node_factory()
    wrong = tmp_path / "wrong.token"
    wrong.write_text("not-the-token\n")
    without = shell(
        "--data-dir", str(other.repo.path), "--api-port", str(other.port), "cluster", "join", address
    )
    assert "asks for a token" in without.stderr
    assert "--token-file FILE" in without.stderr
    refused = shell(
        *("--data-dir", str(other.repo.path), "--api-port", str(other.port)),
        *("cluster", "join", address, "--token-file", str(wrong)),
    )
    assert "refused the token" in refused.stderr
    assert "not-the-token" not in refused.stderr + refused.stdout
    assert shell("cluster", "close").returncode == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("open", "--host", "a b"), "the address to listen on is not a host name or an IP address: 'a b'"),
        (("open", "--advertise", "x:y"), "the advertised address is not HOST or HOST:PORT: 'x:y'"),
        (("open", "--port", "70000"), "70000"),
    ],
)
def test_a_wrong_word_is_one_sentence_and_the_cluster_stays_closed(
    shell: Shell, words: tuple[str, ...], sentence: str
) -> None:
    done = shell("cluster", *words)
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert "Open    = no" in shell("cluster", "show").stdout
