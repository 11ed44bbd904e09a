"""``--no-binary``: source packages become wheels inside a job, and nowhere else."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import docker, process
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from tests.client.jobs.test_packages import index, of_own
from tests.packages.sdists import make_sdist
from tests.packages.wheels import Index, make_wheel
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory

__all__ = ["index"]

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
    pytest.mark.timeout(240),
]

CODE = "import source, needed; print(source.VERSION, needed.VERSION)"
WHEEL = make_wheel("source", "2.0", requires=("needed>=1",))


def python(
    client: Client, code: str = CODE, *, names: Sequence[str] = ("source",), pip: Sequence[str] = ()
) -> Job:
    return process([sys.executable, "-c", code], python=client.environment(), pip=pip, no_binary=names)


def builds(client: Client) -> int:
    return len([job for job in client.jobs(limit=100) if job.labels.get("jupyter.org/purpose") == "packages"])


def test_a_source_package_is_built_in_a_job_and_imported_with_what_it_needs(
    node: ServedNode, index: Index
) -> None:
    index.add(make_sdist("source", "2.0", WHEEL))
    with of_own(node) as client:
        assert client.submit(python(client)).result().stdout == "2.0 1.2\n"
        (build,) = [job for job in client.jobs(limit=100) if job.labels]
        assert build.task.network.type.value == "Host" and not build.task.env
        # Whom this machine trusts is all that may travel.
        assert {each.target for each in build.task.input_sources} <= {"/inputs/certificates.pem"}


def test_the_second_request_of_a_kind_starts_no_build(node: ServedNode, index: Index) -> None:
    index.add(make_sdist("source", "2.0", WHEEL))
    with of_own(node) as client:
        client.sent(python(client))
        client.sent(python(client))
        # Another request with the same package finds the wheel.
        job = client.sent(python(client, pip=["good"]))
        assert builds(client) == 1
        assert {"source==2.0", "good==1.0"} <= set(job.task.input_sources[-1].alias.replace(",", "").split())


def test_a_source_package_without_the_flag_is_refused_with_the_flag(node: ServedNode, index: Index) -> None:
    index.add(make_sdist("source", "2.0", WHEEL))
    with of_own(node) as client:
        with pytest.raises(BadRequest, match="source has no wheel") as refused:
            client.submit(python(client, names=(), pip=["source"]))
        assert "--no-binary source" in refused.value.hint and builds(client) == 0


def test_the_code_of_a_source_package_runs_in_the_job_alone(
    node: ServedNode, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control is the mark in the build's log: the code did run."""
    secret = Path.home() / f".bacalhau-test-secret-{os.getpid()}"
    mark = tmp_path / "written"
    body = f"""
print("the build ran as", os.getpid(), flush=True)
print(dict(os.environ), flush=True)
for path in ({str(secret)!r}, {str(node.repo.path)!r} + "/api.key"):
    try:
        print("stolen", open(path).read(), flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
try:
    open({str(mark)!r}, "w").write("outside")
except OSError as error:
    print(type(error).__name__, flush=True)
raise SystemExit("the end of it")
"""
    monkeypatch.setenv("A_VARIABLE", "of-the-kernel")
    index.add(make_sdist("source", "2.0", WHEEL, body))
    secret.write_text("of-the-user")
    try:
        with of_own(node) as client:
            with pytest.raises(BadRequest, match="could not be built in job j-") as failed:
                client.submit(python(client))
            (build,) = client.jobs(limit=10)
            printed = client.job(build.id).outcome(check=False).stdout
            assert "the build ran as" in printed and "the end of it" in failed.value.message
            said = f"{printed}{failed.value.message}"
            assert "of-the-user" not in said and "of-the-kernel" not in said and "stolen" not in said
            assert not mark.exists() and not any((node.repo.path / "packages" / "drafts").iterdir())
    finally:
        secret.unlink()


def test_a_compiler_s_error_is_shown_once(node: ServedNode, index: Index) -> None:
    body = """
open("bad.c", "w").write("int main(void) { return nonsense; }")
subprocess.run(["cc", "bad.c"], check=True)
"""
    index.add(make_sdist("source", "2.0", WHEEL, body))
    with of_own(node) as client, pytest.raises(BadRequest) as failed:
        client.submit(python(client))
    lines = "\n".join(failed.value.summary_lines())
    assert "could not be built in job j-" in lines and "job logs j-" in lines
    assert (
        lines.count("nonsense") <= 2
        and ("nonsense" in lines or "cc" in lines)
        and len(lines.splitlines()) < 22
    )


def test_what_a_build_leaves_is_refused_unless_it_is_the_wheel(node: ServedNode, index: Index) -> None:
    index.add(make_sdist("source", "2.0", make_wheel("source", "2.0", wrong_record=True)))
    with of_own(node) as client:
        with pytest.raises(BadRequest, match="no wheel of it: RECORD has another hash"):
            client.submit(python(client))
        index.add(make_sdist("source", "2.0", WHEEL))
        assert client.submit(python(client)).result().stdout == "2.0 1.2\n"


def test_a_build_that_leaves_more_than_one_file_is_refused(node: ServedNode, index: Index) -> None:
    body = """
for pid in filter(str.isdigit, os.listdir("/proc")):
    place = "/proc/" + pid + "/cwd/outputs"
    if os.access(place, os.W_OK):
        open(place + "/more.whl", "w").close()
"""
    index.add(make_sdist("source", "2.0", WHEEL, body))
    with (
        of_own(node) as client,
        pytest.raises(BadRequest, match="did not leave one wheel: it left more"),
    ):
        client.submit(python(client))


def test_an_index_with_a_password_is_refused_before_a_job_is_made(
    node: ServedNode, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//ann:index-secret@"))
    with of_own(node) as client:
        with pytest.raises(BadRequest, match="needs a credential") as refused:
            client.submit(python(client))
        assert "secret" not in f"{refused.value.message}{refused.value.hint}" and not client.jobs()


def test_a_node_that_gives_no_network_is_named(node_factory: NodeFactory, index: Index) -> None:
    served = node_factory("-c", "JobAdmissionControl.RejectNetworkedJobs=true")
    refused = pytest.raises(BadRequest, match=r"source can't be built in a job here: .*network")
    with of_own(served) as client, refused:
        client.submit(python(client))


@pytest.mark.docker
def test_an_image_builds_for_itself(node_factory: NodeFactory, index: Index, python_image: str) -> None:
    index.add(make_sdist("source", "2.0", WHEEL))
    with Client(data_dir=str(node_factory().repo.path), start=False) as client:
        job = docker(python_image, ["python3", "-c", CODE], no_binary=["source"])
        assert client.submit(job).result().stdout == "2.0 1.2\n"
