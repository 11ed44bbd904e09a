"""The notebooks that need buckets or a second machine; without one they say so (that is what nbval runs)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbclient
import nbformat
import pytest

from bacalhau_jupyter.config.repo import Repo
from tests.packages.wheels import Index, make_wheel, serving
from tests.services.far_host import FarHost
from tests.services.node import end_node_of
from tests.services.s3 import S3Server

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repo]:
    """A node of the notebook's own, which ends with the test."""
    for name in list(os.environ):
        if name.startswith("BACALHAU_"):
            monkeypatch.delenv(name)
    made = Repo.open(tmp_path / "repo")
    monkeypatch.setenv("BACALHAU_DIR", str(made.path))
    yield made
    end_node_of(made)


def run(name: str) -> str:
    """Run a notebook as a person would, and return what it printed."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, iopub_timeout=60, resources={"metadata": {"path": str(NOTEBOOKS)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(str(output.get("text", "")) + str(output.get("data", "")) for output in outputs)


@pytest.mark.parametrize("name", ["partitioned-map.ipynb", "two-buckets.ipynb"])
def test_a_notebook_with_buckets_runs(
    repo: Repo, s3_credentials: S3Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("BACALHAU_DEMO_S3_ENDPOINT", s3_credentials.url)
    monkeypatch.setenv("BACALHAU_DEMO_BUCKET", s3_credentials.bucket())
    monkeypatch.setenv("BACALHAU_DEMO_BUCKET_2", s3_credentials.bucket())
    assert "Nothing runs below" not in run(name)


def test_the_notebook_about_hosts_runs_on_a_second_machine(
    repo: Repo, far_host: FarHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (f"IdentityFile={far_host.users.key}", "IdentitiesOnly=yes")
    flags = " ".join(f"--ssh-option {option}" for option in options)
    monkeypatch.setenv("BACALHAU_DEMO_HOST", f"ssh://alice@{far_host.address}")
    monkeypatch.setenv("BACALHAU_DEMO_HOST_FLAGS", f"{flags} --trust {far_host.users.fingerprint}")
    monkeypatch.setenv("BACALHAU_DEMO_HOST_IMAGE", far_host.python_image())
    said = run("hosts.ipynb")
    assert "Nothing runs below" not in said
    assert "rows on " in said
    assert "there is no host demo-bx" in said
    assert "Host demo-box was removed." in said


def test_the_notebook_about_packages_runs_with_an_index_on_loopback(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    humanize = b"def naturalsize(n): return 'size'\ndef intword(n): return 'word'\ndef apnumber(n): return 'number'\n"
    toolz = b"def frequencies(words): return {word: 1 for word in words}\n"
    with serving(Index()) as index:
        index.add(
            make_wheel("humanize", "4.9", files={"humanize.py": humanize}),
            make_wheel("toolz", files={"toolz.py": toolz}),
        )
        for name in [each for each in os.environ if each.startswith(("UV_", "PIP_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_INDEX_URL", index.url)
        said = run("packages.ipynb")
    assert "'size'" in said and "'word'" in said and "'cell': 'number'" in said
    assert "not options such as '-r'" in said
    assert not (NOTEBOOKS / "requirements-demo.txt").exists()
