"""What an order for a notebook may name: never a file of the server, however it is spelled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.client.inputs.uri import parse_input
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NetworkFailure
from bacalhau_jupyter.server.handlers.notebooks import read_order
from bacalhau_jupyter.server.jobs.collector import NotebookCollector
from tests.server.conftest import Jupyter

SECRET = "the content of a file of this server"


def order_of(*inputs: Any) -> bytes:
    return json.dumps({"path": "x.ipynb", "inputs": list(inputs)}).encode()


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that lies where short spellings find it, too."""
    path = tmp_path / "secret.txt"
    path.write_text(SECRET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return path


SPELLINGS = [
    "{path}",
    "{path}:/inputs",
    "src={path}",
    "src={path},dst=/x",
    "src=https://x/,src={path}",
    "source=s3://b/k,src={path}",
    "https://x/,src={path}",
    "src={path},src=https://x/",
    '"src={path}"',
    "src='{path}'",
    ' src = "{path}" ',
    "SRC={path}",
    "secret.txt",
    "./secret.txt",
    "~/secret.txt",
    "src=~/secret.txt,dst=/https://x",
    "../{name}/secret.txt",
    "{path}\u0000https://x/",
    "src={path},opt=x=https://",
    "secret.txt:/a://b",
    "job:j-1",
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_path_of_the_server_is_refused_however_it_is_spelled(secret: Path, spelling: str) -> None:
    text = spelling.format(path=secret, name=secret.parent.name)
    with pytest.raises(BadRequest):
        read_order(order_of(text))


def test_for_a_person_at_a_shell_the_same_spelling_reads_the_file(secret: Path) -> None:
    # Shows that there is something to refuse: the texts above name a file that is there.
    for text in (str(secret), "secret.txt", "~/secret.txt", f"src={secret},dst=/x"):
        assert parse_input(text).source.type == "inline"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=500)
@given(
    st.lists(
        st.sampled_from(
            [
                "src=",
                "dst=/x",
                ",",
                "secret.txt",
                "/",
                ".",
                "..",
                "~",
                "https://x/",
                "file://",
                ":",
                '"',
                "'",
                " ",
            ]
        ),
        max_size=8,
    ).map("".join)
)
def test_no_text_puts_a_file_into_the_order(secret: Path, text: str) -> None:
    try:
        order = read_order(order_of(text))
    except BacalhauError:
        return
    assert [item.source.type for item in order.inputs] != ["inline"]
    assert SECRET not in repr(order)


def test_addresses_are_taken() -> None:
    order = read_order(order_of("https://e.com/x,dst=/d", "s3://b/k", "ipfs://QmX", "file:///srv/data"))
    assert [item.source.type for item in order.inputs] == ["urlDownload", "s3", "ipfs", "localDirectory"]


@pytest.mark.parametrize("item", [7, None, {"Source": {"Type": "inline"}}, ["https://x/"]])
def test_an_input_that_is_not_utf_8_is_refused(item: Any) -> None:
    with pytest.raises(BadRequest, match="list of strings"):
        read_order(order_of(item))


@pytest.mark.parametrize(
    "path",
    [
        "..%2fx.ipynb",
        "~/x.ipynb",
        "file:///etc/x.ipynb",
        ".hidden/x.ipynb",
        ".x.ipynb",
        "link/x.ipynb/../y.ipynb",
    ],
)
async def test_a_notebook_that_the_contents_manager_does_not_serve_is_not_run(
    jupyter: Jupyter, jp_root_dir: Path, path: str
) -> None:
    for folder in (jp_root_dir / ".hidden", jp_root_dir.parent):
        folder.mkdir(exist_ok=True)
        (folder / "x.ipynb").write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4}))
    async with jupyter.request("POST", "/notebooks", json={"path": path}) as answer:
        assert answer.status in (400, 404)


@pytest.mark.parametrize("job", ["../x", "/tmp/x", "", ".", "a/b", "j" * 300, "a\x00b"])
async def test_a_clusters_job_id_never_becomes_a_path(tmp_path: Path, job: str) -> None:
    collector = NotebookCollector(None, object(), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(NetworkFailure, match="impossible ID"):
        await collector.expect(job, "x.ipynb")
    assert list(tmp_path.iterdir()) == []
