"""Words on a magic's line in a real kernel: TAB with our words only, help by ``?``, values filled in, no secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.notebook.conftest import Kernel
from tests.services.common import wait_until

pytestmark = pytest.mark.timeout(300)


def tab(kernel: Kernel, code: str, at: int | None = None) -> dict[str, Any]:
    """Return the kernel's answer to TAB."""
    return kernel.reply(kernel.client.complete(code, len(code) if at is None else at))


def words(answer: dict[str, Any]) -> dict[str, str]:
    """Return text → what the front end shows beside it."""
    return {item["text"]: item["type"] for item in answer["metadata"]["_jupyter_types_experimental"]}


def inspected(kernel: Kernel, code: str) -> str:
    """Return what ``code?`` shows in the pager."""
    message = kernel.client.execute(code)
    reply = kernel.reply(message)
    return str(reply["payload"][0]["data"]["text/plain"])


def test_tab_offers_our_words_with_descriptions_and_nothing_else(kernel: Kernel) -> None:
    kernel.run("jolly = 1\nopen('jobs.txt', 'w').close()")
    assert words(tab(kernel, "%bacalhau jo")) == {"job": "Submit, inspect and stop jobs."}
    assert words(tab(kernel, "x = 1\n%bacalhau job li")) == {"list": "List jobs."}
    assert words(tab(kernel, "%bacalhau job list jo")) == {}, "no file, no variable, no magic"
    cell = "%%bacalhau python --in jol\nprint(1)"
    answer = tab(kernel, cell, cell.index("\n"))
    assert words(answer) == {"jolly": "int"}
    assert (answer["cursor_start"], answer["cursor_end"]) == (23, 26)


def test_jobs_complete_with_name_and_state(kernel: Kernel) -> None:
    kernel.run("%%bacalhau sh --name tab-test\ntrue")
    offered: dict[str, str] = {}

    def are_there() -> bool:
        offered.update(words(tab(kernel, "%bacalhau job describe ")))
        return "tab-test · Completed" in offered.values()

    # An answer that takes longer than a person waits comes with the next TAB.
    assert wait_until(are_there, timeout_s=60), offered
    assert all(name.startswith("j-") for name in offered)


def test_other_lines_and_bodies_complete_as_ever(kernel: Kernel) -> None:
    kernel.run("jolly = 1")
    for code in ("jol", "%%bacalhau python\njol", "%%time\njol"):
        assert "jolly" in tab(kernel, code)["matches"]
    kernel.run("%unload_ext bacalhau_jupyter")
    assert kernel.value("'completions' in get_ipython().Completer.__dict__") is False
    kernel.run("%load_ext bacalhau_jupyter")
    assert "list" in words(tab(kernel, "%bacalhau job li"))


@pytest.mark.parametrize(
    ("code", "first", "later"),
    [
        ("%bacalhau?", "%bacalhau docker run ubuntu -- echo hello", "run-notebook"),
        ("%%bacalhau?", "%%bacalhau python --in frame --out top", "docker"),
    ],
)
def test_a_question_mark_shows_examples_first(kernel: Kernel, code: str, first: str, later: str) -> None:
    text = inspected(kernel, code)
    assert text.index("Examples") < text.index(first) < text.index("Usage") < text.rindex(later)


def test_a_line_takes_the_notebooks_values_and_a_body_never_does(kernel: Kernel) -> None:
    kernel.run("name, rates = 'a; rm -rf b', [0.1, 0.2]")
    ran = kernel.run("%bacalhau docker run --dry-run --name $name -e RATE={rates[1]} busybox -- echo '$name'")
    assert ran.status == "ok", ran.traceback
    assert kernel.value("_.record['Name']") == "a; rm -rf b"
    assert kernel.value("_.record['Tasks'][0]['Env']") == {"RATE": "0.2"}
    assert kernel.value("_.record['Tasks'][0]['Engine']['Params']['Parameters']") == ["echo", "$name"]
    ran = kernel.run("%%bacalhau sh -e WHO={name}\necho \"$WHO\" '{name}' $name {rates[1]}")
    assert ran.stdout == "a; rm -rf b {name} {rates[1]}\n"
    assert "can't be filled in: NameError" in kernel.run("%bacalhau attach {nosuch}").traceback


def test_attach_without_an_id_shows_the_last_job(kernel: Kernel) -> None:
    kernel.run("%%bacalhau sh --detach\necho the last one")
    ran = kernel.run("%bacalhau attach")
    assert ran.status == "ok", ran.traceback
    assert "the last one\n" in ran.stdout


def test_a_secret_reaches_the_job_and_no_view(kernel: Kernel) -> None:
    kernel.run("import os; os.environ['MY_API_TOKEN'] = 'hunter2'")
    ran = kernel.run("%%bacalhau sh -e MY_API_TOKEN --dry-run\necho ${#MY_API_TOKEN}")
    shown = json.dumps([ran.result, ran.stdout, ran.stderr])
    assert "***" in shown
    assert "echo ${#MY_API_TOKEN}" in shown, "the code is shown"
    everything: list[Any] = [ran.result, ran.stdout, ran.stderr]
    ran = kernel.run("%%bacalhau sh -e MY_API_TOKEN\necho ${#MY_API_TOKEN}; exit 3")
    assert "7\n" in ran.stdout
    everything += [ran.displays, ran.result, ran.stdout, ran.stderr, ran.error]
    job = kernel.value("__import__('bacalhau_jupyter').Client().jobs(limit=1)[0].id")
    for line in (
        "job list",
        "job list --output json",
        f"job describe {job}",
        f"job describe {job} --output yaml",
    ):
        ran = kernel.run(f"%bacalhau {line}")
        assert ran.status == "ok", ran.traceback
        everything += [ran.displays, ran.result, ran.stdout, ran.stderr]
    assert "hunter2" not in json.dumps(everything)
    assert "hunter2" in kernel.run(f"%bacalhau job describe {job} --output yaml --show-secrets").stdout
