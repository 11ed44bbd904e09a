"""File names are bytes: every listing, reader and download takes the ones that are no UTF-8, or hold a line feed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from yarl import URL

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import ResultPath, SpecConfig, Task
from tests.node.test_node import JOBS, MakeConfig, client, run
from tests.node.test_result_files import DATA, listing, writing
from tests.services.node import running_node
from tests.services.node_fixtures import NodeFactory

NAMES = {
    b"ok.txt": "ok.txt",
    b"caf\xe9.txt": "caf%E9.txt",
    b"caf%E9.txt": "caf%25E9.txt",
    b"a\nb": "a\nb",
    b"a%20b": "a%20b",
    b"\xff\xfe": "%FF%FE",
}
_OCTAL = {name: "".join(f"\\{byte:03o}" for byte in name) for name in NAMES}


def script() -> str:
    """A shell script that makes the files; what each holds is its own name."""
    lines = [
        f'n="$(printf \'{octal}.\')"; printf %s "${{n%.}}" > "outputs/${{n%.}}"' for octal in _OCTAL.values()
    ]
    return "; ".join(lines)


async def test_odd_names_are_listed_and_downloaded(node_config: MakeConfig, tmp_path: Path) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        job = await run(session, writing(script()))
        listed = await listing(session, job)
        paths = {item["Path"] for item in listed["Files"]}
        assert {f"outputs/{form}" for form in NAMES.values()} <= paths
        base = f"{JOBS}/{job}/results/files/{listed['ExecutionID']}/outputs/"
        for name, form in NAMES.items():
            for spelled in (quote(form, safe=""), quote(name, safe="")):
                if spelled == "caf%25E9.txt" and form != "caf%E9.txt":
                    # It is the form of another name.
                    continue
                async with session.get(URL(node.url + base + spelled, encoded=True)) as answer:
                    assert (answer.status, await answer.read()) == (200, name), spelled
                    assert quote(form, safe="") in answer.headers["Content-Disposition"]


async def test_data_with_odd_names_is_listed(node_config: MakeConfig, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    inner = shared / os.fsdecode(b"d\xe9")
    inner.mkdir(parents=True)
    (inner / "x").write_text("x")
    config = node_config(Compute__AllowListedLocalPaths=[f"{shared}/**", str(shared)])
    async with running_node(config) as node, client(node) as session:
        async with session.get(DATA, params={"uri": f"file://{shared}"}) as answer:
            (entry,) = (await answer.json())["Entries"]
        assert (entry["Name"], entry["URI"]) == ("d%E9", f"file://{shared}/d%E9")
        async with session.get(DATA, params={"uri": entry["URI"]}) as answer:
            assert [each["Name"] for each in (await answer.json())["Entries"]] == ["x"]


@pytest.fixture
def job(node_factory: NodeFactory) -> Iterator[Job]:
    served = node_factory("-c", "Engines.Disabled=docker")
    with Client(served.url, api_key=served.key) as connected:
        task = Task(
            name="main",
            engine=SpecConfig(type="process", params={"Command": ["sh", "-c", script()]}),
            publisher=SpecConfig(type="local"),
            result_paths=[ResultPath(name="outputs", path="/outputs")],
        )
        yield connected.submit(JobModel(name="odd", type="batch", count=1, tasks=[task]))


def test_odd_names_reach_python_and_the_disk(job: Job, tmp_path: Path) -> None:
    result = job.result()
    for name in NAMES:
        path = os.fsdecode(b"outputs/" + name)
        assert path in result.ls()
        assert result.bytes(path) == name
        assert result.files[path].read_bytes() == name
    job.get(tmp_path / "all")
    assert set(os.listdir(os.fsencode(tmp_path / "all/outputs"))) == set(NAMES)  # noqa: PTH208


def test_other_programs_unpack_the_names_as_they_are(job: Job, tmp_path: Path) -> None:
    job.result()
    job.get(tmp_path / "raw", raw=True)
    (archive,) = (path for path in (tmp_path / "raw/raw").iterdir())
    subprocess.run(["tar", "xzf", archive, "-C", tmp_path], check=True, capture_output=True)
    assert set(os.listdir(os.fsencode(tmp_path / "outputs"))) == set(NAMES)  # noqa: PTH208


def test_tables_and_single_files_with_odd_names_are_read(node_factory: NodeFactory, tmp_path: Path) -> None:
    served = node_factory("-c", "Engines.Disabled=docker")
    odd = os.fsdecode(b"t\xe9.csv")
    with Client(served.url, api_key=served.key) as connected:
        made = "n=$(printf 't\\351.csv'); printf 'a,b\\n1,2\\n' > \"outputs/$n\""
        task = Task(
            name="main",
            engine=SpecConfig(type="process", params={"Command": ["sh", "-c", made]}),
            publisher=SpecConfig(type="local"),
            result_paths=[ResultPath(name="outputs", path="/outputs")],
        )
        job = connected.submit(JobModel(name="odd", type="batch", count=1, tasks=[task]))
        result = job.result()
        assert result.df(odd).to_dict("list") == {"a": [1], "b": [2]}
        with result.open(odd) as file:
            assert file.read() == b"a,b\n1,2\n"
        done = subprocess.run(
            [sys.executable, "-m", "bacalhau_jupyter", "job", "get", f"{job.id}/outputs/{odd}"],
            env={**os.environ, **served.client_env()},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert [path.name for path in tmp_path.rglob("*.csv")] == [odd]
