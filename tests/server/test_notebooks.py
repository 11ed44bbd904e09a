"""A notebook of a real Jupyter server as a job on a real node; the executed copy lies beside it afterwards."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_core.utils import ensure_async

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.server.jobs.collector import DIRECTORY, Awaited, _parsed
from tests.client.notebooks.test_notebooks import cell, notebook
from tests.packages.wheels import Index, make_wheel, serving
from tests.server.conftest import Cluster, Jupyter, Starter
from tests.server.test_app import ANY_PORT, JOBS
from tests.server.test_auth import Recorder
from tests.services.waiting import found, let_go, until

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def root(jp_root_dir: Path) -> Path:
    pytest.importorskip("nbclient")
    folder = jp_root_dir / "my reports"
    folder.mkdir()
    made = notebook(
        cell("x = 0\nis_held = False", "parameters"),
        cell(HELD),
        cell("print(x * 2)"),
        cell("assert x != 13"),
    )
    (folder / "ä b.ipynb").write_text(json.dumps(made))
    return jp_root_dir


PATH = "my reports/ä b.ipynb"
# Goes on once `let_go` was called.
HELD = (
    "import os, time\nif is_held:\n    open('outputs/held', 'w').close()\n"
    "    while not os.path.exists('outputs/go'):\n        time.sleep(0.1)"
)


async def order(jupyter: Jupyter, **body: Any) -> tuple[int, Any]:
    async with jupyter.request("POST", "/notebooks", json={"path": PATH, **body}) as answer:
        return answer.status, await answer.json()


async def arrived(path: Path) -> Any:
    def is_whole() -> bool:
        # Jupyter writes a new file under its own name.
        try:
            json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return False
        return True

    await until(is_whole, 60)
    return json.loads(path.read_text())


async def test_the_executed_copy_comes_back_beside_the_original(
    own_node: Repo, start_jupyter: Starter, root: Path
) -> None:
    jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
    status, submitted = await order(jupyter, parameters={"x": 21}, resources={"memory": "600mb"})
    assert status == 200, submitted
    assert submitted["copy"] == "my reports/ä b.out.ipynb"
    copy = await arrived(root / submitted["copy"])
    assert "".join(copy["cells"][3]["outputs"][0]["text"]) == "42\n"
    assert copy["metadata"]["bacalhau"] == {"job_id": submitted["job_id"], "notebook": PATH}
    async with jupyter.get(f"{JOBS}/{submitted['job_id']}") as answer:
        job = (await answer.json())["Job"]
    assert job["Meta"]["jupyter.org/notebook"] == PATH
    await until(lambda: not list((own_node.path / DIRECTORY).iterdir()))


async def test_packages_are_brought_by_name_and_by_a_file_beside_the_notebook(
    own_node: Repo, start_jupyter: Starter, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = notebook(cell("import good, needed; print(good.VERSION, needed.VERSION)"))
    (root / "my reports" / "ä b.ipynb").write_text(json.dumps(made))
    (root / "my reports" / "requirements.txt").write_text("needed<1  # not the newest\n")
    with serving(Index()) as index:
        index.add(make_wheel("good"), make_wheel("needed", "1.2"), make_wheel("needed", "0.9"))
        for name in [each for each in os.environ if each.startswith(("UV_", "PIP_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
        status, submitted = await order(jupyter, pip=["good"], requirements="requirements.txt")
        assert status == 200, submitted
        copy = await arrived(root / submitted["copy"])
        assert "".join(copy["cells"][0]["outputs"][0]["text"]) == "1.0 0.9\n"
        status, refused = await order(jupyter, pip=["nowhere"])
        assert (status, refused["Message"]) == (400, "there is no package nowhere in the index")


async def test_a_failed_cell_comes_back_too_and_nothing_is_overwritten(
    own_node: Repo, start_jupyter: Starter, root: Path
) -> None:
    (root / "my reports" / "ä b.out.ipynb").write_text("mine")
    jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
    status, answer = await order(jupyter, parameters={"x": 13})
    assert status == 200, answer
    copy = await arrived(root / "my reports" / "ä b.out-1.ipynb")
    assert copy["cells"][4]["outputs"][0]["ename"] == "AssertionError"
    assert (root / "my reports" / "ä b.out.ipynb").read_text() == "mine"


async def test_a_server_that_comes_back_collects_what_an_earlier_one_began(
    own_node: Repo, start_jupyter: Starter, root: Path
) -> None:
    patient = {**ANY_PORT, "grace_period": "60s"}
    first = await start_jupyter(BacalhauApp=patient)
    # The end of a Jupyter server takes seconds on a busy machine: the notebook lasts until it is over.
    status, answer = await order(first, parameters={"x": 1, "is_held": True})
    assert status == 200, answer
    await until(lambda: found(own_node.path, "outputs/held"))
    await start_jupyter.close()
    assert not (root / answer["copy"]).exists()
    assert [file.stem for file in (own_node.path / DIRECTORY).iterdir()] == [answer["job_id"]]
    await start_jupyter(BacalhauApp=patient)
    let_go(own_node.path)
    copy = await arrived(root / answer["copy"])
    assert copy["metadata"]["bacalhau"]["job_id"] == answer["job_id"]
    await until(lambda: not list((own_node.path / DIRECTORY).iterdir()))


async def test_a_copy_that_was_saved_before_a_crash_is_not_saved_again(
    own_node: Repo, start_jupyter: Starter, root: Path
) -> None:
    patient = {**ANY_PORT, "grace_period": "60s"}
    first = await start_jupyter(BacalhauApp=patient)
    _, answer = await order(first)
    await arrived(root / answer["copy"])
    records = own_node.path / DIRECTORY
    await until(lambda: not list(records.iterdir()))
    collector = first.gateway.notebooks
    assert collector is not None
    await collector.expect(answer["job_id"], PATH)
    await until(lambda: not list(records.iterdir()))
    assert sorted(file.name for file in (root / "my reports").glob("*.ipynb")) == [
        "ä b.ipynb",
        "ä b.out.ipynb",
    ]


async def test_a_job_can_not_make_jupyter_trust_what_its_copy_displays(
    own_node: Repo, start_jupyter: Starter, root: Path
) -> None:
    """The control: Jupyter signs the same notebook when it is saved as the job left it."""
    output = {"output_type": "display_data", "data": {"text/html": "<script>1</script>"}, "metadata": {}}
    forged = notebook(cell("") | {"outputs": [output], "metadata": {"trusted": True}})
    collector = (await start_jupyter(BacalhauApp=ANY_PORT)).gateway.notebooks
    assert collector is not None
    contents: Any = collector._contents
    model = {"type": "notebook", "format": "json", "content": nbformat.from_dict(forged)}
    await ensure_async(contents.save(model, "control.ipynb"))
    path = await collector._save(_parsed(json.dumps(forged).encode()), Awaited("j-1", PATH, ""))
    read = {name: await ensure_async(contents.get(name)) for name in ("control.ipynb", path)}
    trusted = {name: each["content"]["cells"][0]["metadata"]["trusted"] for name, each in read.items()}
    assert trusted == {"control.ipynb": True, path: False}


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[" * 100_000, b"[]", b'{"nbformat": 4, "metadata": [], "cells": []}', b"{}"]
)
def test_a_copy_that_is_no_notebook_is_one_sentence(data: bytes) -> None:
    with pytest.raises(BacalhauError, match="the executed copy is no notebook"):
        _parsed(data)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"path": "../secret.ipynb"}, 400, "not the path of a notebook"),
    ({"path": "/etc/x.ipynb"}, 400, "not the path of a notebook"),
    ({"path": "a/./x.ipynb"}, 400, "not the path of a notebook"),
    ({"path": "a\\..\\x.ipynb"}, 400, "not the path of a notebook"),
    ({"path": "x.txt"}, 400, "not the path of a notebook"),
    ({"path": ""}, 400, "not the path of a notebook"),
    ({"path": "missing.ipynb"}, 404, "no notebook missing.ipynb"),
    ({"path": "broken.ipynb"}, 400, "broken.ipynb"),
    ({"path": 7}, 400, "path"),
    ({"parameters": [1]}, 400, "parameters"),
    ({"parameters": {"a b": 1}}, 400, "is not a variable name"),
    ({"kernel": "nope"}, 400, "no kernel 'nope'"),
    ({"resources": {"gpu": "1"}}, 400, "this node can't give a process a GPU: it has none"),
    ({"resources": {"memory": "much"}}, 400, "memory"),
    ({"inputs": ["./data"]}, 400, "is not an address"),
    ({"timeout": -1}, 400, "timeout"),
    ({"pip": ["-r /etc/passwd"]}, 400, "not options such as '-r'"),
    ({"pip": ["./x.whl"]}, 400, "not files or URLs"),
    ({"pip": "good"}, 400, "pip"),
    ({"requirements": "../../etc/passwd"}, 400, "not the path of a file beside the notebook"),
    ({"requirements": "/etc/passwd"}, 400, "not the path of a file beside the notebook"),
    ({"requirements": "missing.txt"}, 400, "there is no such file"),
    ({"requirements": "latin.txt"}, 400, "is not UTF-8 text"),
    ({"requirements": "nested.txt"}, 400, "nested.txt, line 2"),
]


async def test_bad_orders_are_answered_in_one_sentence(
    own_node: Repo, start_jupyter: Starter, root: Path
) -> None:
    (root / "broken.ipynb").write_text("{")
    (root / "my reports" / "latin.txt").write_bytes(b"caf\xe9")
    (root / "my reports" / "nested.txt").write_text("good\n-r other.txt\n")
    jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
    for body, status, sentence in BAD:
        got, answer = await order(jupyter, **body)
        assert (got, sentence in answer["Message"]) == (status, True), (body, answer)
        assert "Traceback" not in json.dumps(answer)
    assert not (own_node.path / DIRECTORY).exists()


async def test_a_body_that_is_not_an_object_is_refused(jupyter: Jupyter, cluster: Cluster) -> None:
    for body in (b"{", b"[]", b"\xff", b"[" * 100_000):
        async with jupyter.request("POST", "/notebooks", data=body) as answer:
            assert answer.status == 400, body[:10]
    assert cluster.requests == []


async def test_it_asks_for_the_rights_on_files_too(
    start_jupyter: Starter, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setenv("BACALHAU_API_PORT", str(cluster.port))
    Recorder.asked, Recorder.allowed = [], {"execute", "read"}
    jupyter = await start_jupyter(ServerApp={"authorizer_class": Recorder})
    status, answer = await order(jupyter)
    assert (status, answer["Message"]) == (403, "this Jupyter user may not write files")
    assert Recorder.asked == [("execute", "bacalhau"), ("read", "contents"), ("write", "contents")]
    assert cluster.requests == []


async def test_a_cluster_elsewhere_needs_an_image(jupyter: Jupyter, cluster: Cluster, root: Path) -> None:
    from aiohttp import web

    async def node(request: web.Request) -> web.Response:
        return web.json_response({"NodeID": "n-far", "ComputeNodeInfo": {}})

    cluster.answers["/api/v1/agent/node"] = node
    status, answer = await order(jupyter)
    assert status == 400, answer
    assert "does not run on this machine" in answer["Message"]
    assert not cluster.has_seen(JOBS)
