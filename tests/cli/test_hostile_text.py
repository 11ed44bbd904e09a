"""Names, labels and messages that others wrote: shown as text by every view, and unchanged where they are data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from bacalhau_jupyter.grammar.output import Details, Show, Table
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.live.card import Status
from tests.conformance import caller
from tests.services.node import ServedNode
from tests.services.node_fixtures import node, node_factory

__all__ = ["node", "node_factory"]

HOSTILE = "pay\u202egnp.exe\x1b[2J\u200b\nj-0000  forged"
SPELLED = "pay\\u202egnp.exe\\x1b[2J\\u200b\\nj-0000  forged"
FORMS: list[Callable[[Table], str]] = [Table.text, Table._repr_html_, repr]


@pytest.mark.parametrize("form", FORMS)
def test_a_name_can_neither_turn_around_nor_forge_a_row_of_a_table(form: Callable[[Table], str]) -> None:
    table = Table(("id", "name", "state"), [("j-1", HOSTILE, "Running")])
    shown = form(table)
    assert readable(shown, lines=True) == shown
    if form is Table.text:
        assert shown.splitlines()[1].split() == ["j-1", *SPELLED.split(), "Running"]


def test_the_lines_of_a_message_stay_in_its_column() -> None:
    table = Table(("id", "event"), [("j-1", "not enough nodes\n• node a: busy"), ("j-2", "ok")])
    assert table.text().splitlines()[1:] == ["j-1  not enough nodes", "     • node a: busy", "j-2  ok"]
    record = Details({}, [("", {"Name": "a", "Message": "first\nState = Completed"})])
    assert record.text().splitlines()[1:] == ["Message = first", "          State = Completed"]


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_data_stays_what_it_is_and_shows_what_it_is_made_of(form: str) -> None:
    record = {"Name": HOSTILE, "Other": "größe"}
    text = Details(record).render(Show(form))
    assert (json.loads(text) if form == "json" else yaml.safe_load(text)) == record
    assert readable(text, lines=True) == text
    plain = Details({"Name": "größe"}).render(Show(form))
    assert "größe" in plain


def test_an_error_and_a_cells_state_line_show_text_as_text() -> None:
    error = BadRequest(f"job not found: {HOSTILE}", hint=HOSTILE)
    summary = "\n".join(error.summary_lines())
    assert readable(summary, lines=True) == summary
    status = Status("j-1", "http://x", node=HOSTILE, phase=f"queued: {HOSTILE}")
    bundle = status.bundle(status.line())
    for kind in ("text/html", "text/plain"):
        assert readable(bundle[kind]) == bundle[kind]


def test_the_shell_shows_a_hostile_job_readably_everywhere(node: ServedNode, tmp_path: Path) -> None:
    task = {"Name": "main", "Engine": {"Type": "noop"}}
    spec = {"Name": HOSTILE, "Namespace": "default", "Type": "batch", "Count": 1, "Tasks": [task]}
    spec["Labels"] = {"a": HOSTILE}
    assert caller.call(node.port, "PUT", caller.JOBS, (), json.dumps({"Job": spec}))[0] == 200

    def shell(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bacalhau_jupyter", *words],
            env={"PATH": "/usr/bin:/bin", **node.client_env()},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=60,
            check=False,
        )

    listed = shell("job", "list")
    assert SPELLED.split("\\n")[0] in listed.stdout
    assert len(listed.stdout.splitlines()) == 2
    for words in (("describe", HOSTILE), ("describe", HOSTILE, "--output", "yaml"), ("history", HOSTILE)):
        done = shell("job", *words)
        assert done.returncode == 0, done.stderr
        assert readable(done.stdout, lines=True) == done.stdout
    described = json.loads(shell("job", "describe", HOSTILE, "--output", "json").stdout)
    assert described["Job"]["Name"] == HOSTILE
    refused = shell("job", "describe", "no\u202esuch\x1b[2J")
    assert refused.returncode == 1
    assert "no\\u202esuch\\x1b[2J" in refused.stderr
