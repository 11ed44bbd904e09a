"""`cluster open|show|close` in a shell and in a notebook, against a real node: no output holds the token."""

from __future__ import annotations

import json

import pytest

from tests.cli.running import Shell
from tests.services.node import ServedNode

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
    assert "bacalhau-jupyter cluster join nats://127.0.0.1:" in opened.stdout
    assert 'BACALHAU_COMPUTE_AUTH_TOKEN="$(cat cluster.token)" bacalhau serve --compute' in opened.stdout
    assert "Official nodes share the token" in opened.stdout
    shown = shell("cluster", "show", "--output", "json")
    record = json.loads(shown.stdout)
    assert (record["IsOpen"], record["Link"]["IsUp"]) == (True, True)
    config = shell("agent", "config", "--output", "json")
    gone = shell("cluster", "close")
    assert gone.stdout.startswith("The cluster is closed.")
    texts = [each.stdout + each.stderr for each in (opened, shown, config, gone)] + [served.tail(1000)]
    assert not [text for text in texts if token in text]


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
