"""Jobs that import packages of an index: on every engine, from the node's store and along with the job."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import docker, process
from bacalhau_jupyter.client.jobs.job import JobFailed
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, ResourceExhausted
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, replace
from bacalhau_jupyter.models.records.packages import FEATURE, PATH, SOURCE
from tests.packages.wheels import Index, make_wheel, serving
from tests.services.common import is_root
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import found

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")]

CODE = "import good, subprocess; print(good.needed.VERSION, good.__file__)"
TIERS = ["bubblewrap", "landlock"]


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """An index with a package that needs another one; this process's resolver knows no other."""
    with serving(Index()) as served:
        served.add(
            make_wheel(
                "good",
                files={"good.py": b"import needed\ndef main():\n    print('command')\n"},
                requires=("needed>=1",),
                scripts={"good-command": "good:main"},
            ),
            make_wheel("needed", "1.2"),
        )
        for name in [each for each in os.environ if each.startswith(("UV_", "PIP_"))]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_INDEX_URL", served.url)
        yield served


def of_own(served: ServedNode, tier: str = "") -> Client:
    """Return a client of the same user on the node's machine; skip where the tier does not work."""
    client = Client(data_dir=str(served.repo.path), start=False)
    runtime = client.info.compute_node_info.engine_runtimes.get("process", "")
    if not runtime or (tier == "landlock" and "Landlock" not in runtime):
        client.close()
        pytest.skip(f"{tier or 'the process engine'} does not work here")
    return client


def python(client: Client, code: str = CODE, *, pip: Sequence[str] = ("good",)) -> Job:
    runtime = client.info.compute_node_info.engine_runtimes.get("process", "")
    if "Landlock" in runtime and is_root():
        # Another user runs the job, who can't get at this Python.
        return process(["python3", "-c", code], pip=pip)
    return process([sys.executable, "-c", code], python=client.environment(), pip=pip)


@pytest.mark.parametrize("tier", TIERS)
def test_a_process_imports_what_it_asked_for(node_factory: NodeFactory, index: Index, tier: str) -> None:
    served = node_factory("-c", f"Engines.Process.Tiers={tier}")
    with of_own(served, tier) as client:
        assert client.submit(python(client)).result().stdout.startswith("1.2 ")
        with pytest.raises(JobFailed, match="exit code 1"):
            client.submit(python(client, pip=())).result()


@pytest.mark.parametrize("tier", TIERS)
def test_a_job_can_not_change_its_packages(node_factory: NodeFactory, index: Index, tier: str) -> None:
    code = """
import good, os
for name in (good.__file__, os.path.join(os.path.dirname(good.__file__), 'new.py')):
    for change in (lambda: open(name, 'a'), lambda: os.remove(name), lambda: os.chmod(name, 0o777)):
        try:
            change()
        except OSError:
            continue
        print('changed', name)
"""
    served = node_factory("-c", f"Engines.Process.Tiers={tier}")
    with of_own(served, tier) as client:
        client.submit(python(client, code)).result()
        (site,) = (served.repo.path / "packages" / "sets").glob("*/site")
        assert (site / "good.py").stat().st_mode & 0o7777 == 0o444
        assert "def main" in (site / "good.py").read_text() and not (site / "new.py").exists()


@pytest.mark.docker
def test_a_container_imports_what_it_asked_for_and_runs_its_commands(
    node_factory: NodeFactory, index: Index, python_image: str
) -> None:
    with Client(data_dir=str(node_factory().repo.path), start=False) as client:
        script = f"python3 -c '{CODE}' && /.packages/bin/good-command && ! touch /.packages/x"
        first = client.submit(docker(python_image, script, pip=["good"])).result()
        assert first.stdout.splitlines() == ["1.2 /.packages/good.py", "command"]
        requests = len(index.requests)
        assert client.submit(docker(python_image, script, pip=["good"])).result().stdout == first.stdout
        assert len(index.requests) == requests and len(client.jobs(limit=10)) == 3, "the image was asked once"


@pytest.mark.docker
def test_an_image_without_python_is_told_in_words(
    node_factory: NodeFactory, index: Index, busybox_image: str
) -> None:
    with (
        Client(data_dir=str(node_factory().repo.path), start=False) as client,
        pytest.raises(BadRequest, match=r"does not say which Python it has: .*holds no Python"),
    ):
        client.submit(docker(busybox_image, "true", pip=["good"]))


@pytest.mark.docker
def test_to_a_cluster_elsewhere_the_packages_travel(
    node_factory: NodeFactory, index: Index, python_image: str
) -> None:
    served = node_factory()
    with Client(served.url, api_key=served.key) as client:
        job = client.sent(docker(python_image, ["python3", "-c", CODE], pip=["good"]))
        assert {each.source.type for each in job.task.input_sources}.isdisjoint({SOURCE, "packages"})
        assert client.submit(job).result().stdout == "1.2 /.packages/good.py\n"
        assert not (served.repo.path / "packages" / "sets").exists()


def plain(served: ServedNode) -> Client:
    """Return a client that takes the node for one without our additions."""
    client = Client(served.url, api_key=served.key)
    client._info = replace(client.info, features=[])
    return client


def test_to_a_cluster_without_our_node_the_packages_travel_inside_the_job(
    node: ServedNode, index: Index
) -> None:
    with plain(node) as client:
        job = client.sent(process(["python3", "-c", CODE], pip=["good"]))
        assert [each.source.type for each in job.task.input_sources] == ["inline"]
        assert client.submit(job).result().stdout.startswith("1.2 ")


def test_packages_that_are_too_large_to_travel_are_refused_with_the_way_out(
    node: ServedNode, index: Index
) -> None:
    index.add(make_wheel("large", files={"large.bin": os.urandom(7_000_000)}))
    with plain(node) as client, pytest.raises(BadRequest, match="the set of packages has 7,") as refused:
        client.submit(process(["python3", "-c", "import large"], pip=["large"]))
    assert "--image" in (refused.value.hint or "")


def test_a_second_job_costs_nothing_and_asks_no_index(node: ServedNode, index: Index) -> None:
    with of_own(node) as client:
        client.sent(python(client))
        requests, jobs, sets = len(index.requests), [python(client) for _ in range(7)], set()
        for job in jobs:
            sets.add(client.sent(job).task.input_sources[-1].source.param("Set"))
        assert len(sets) == 1 and len(index.requests) == requests
    with of_own(node) as another:
        assert another.sent(python(another)).task.input_sources[-1].source.param("Set") in sets
        assert len(index.requests) == requests
        assert another.call(lambda api: api.agent_node()).packages


def test_a_new_version_is_taken_after_the_configured_time(node_factory: NodeFactory, index: Index) -> None:
    with of_own(node_factory("-c", "Packages.RenewAfter=0s")) as client:
        first = client.sent(python(client)).task.input_sources[-1]
        index.add(make_wheel("needed", "1.3"))
        second = client.sent(python(client)).task.input_sources[-1]
        assert "needed==1.2" in first.alias and "needed==1.3" in second.alias


def test_what_was_just_asked_for_stays_when_a_person_makes_room(node: ServedNode, index: Index) -> None:
    with of_own(node) as client:
        job = client.sent(python(client))
        assert client.call(lambda api: api.packages.clear()).count == 0
        assert client.submit(job).result().stdout.startswith("1.2 ")


def test_packages_beyond_the_quota_are_refused(node_factory: NodeFactory, index: Index) -> None:
    index.add(make_wheel("large", files={"large.bin": bytes(5_000_000)}))
    with of_own(node_factory("-c", "Packages.Quota=1mb")) as client:
        with pytest.raises(ResourceExhausted, match="more than the 1"):
            client.submit(python(client, pip=["large"]))
        assert client.submit(python(client)).result().exit_code == 0


def test_credentials_of_the_index_are_nowhere_but_in_the_request(
    node: ServedNode, index: Index, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    index.user, index.password = "ann", "index-secret"
    monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//ann:index-secret@"))
    with of_own(node) as client:
        job = client.submit(python(client, "import os, good; print(dict(os.environ))"))
        result = job.result()
        said = f"{job.describe()}{job.history()}{result.executions}{result.stdout}{result.stderr}{capfd.readouterr()}"
    assert "index-secret" not in said
    node.stop()  # else a file may go between the look and the reading
    for path in found(node.repo.path, "*"):
        if path.is_file() and not path.is_symlink():
            assert b"index-secret" not in path.read_bytes(), path


def test_who_may_not_register_sends_the_packages_along(node_factory: NodeFactory, index: Index) -> None:
    served = node_factory("-c", "API.TrustLocalUser=false")
    with of_own(served) as client:
        job = process(["python3", "-c", CODE], pip=["good"])
        assert client.submit(job).result().stdout.startswith("1.2 ")
        assert not (served.repo.path / "packages" / "sets").exists()


@pytest.mark.parametrize("name", ["0" * 64, "/etc", "../../..", "", 7, None])
def test_a_spec_can_name_nothing_but_a_registered_set(node: ServedNode, name: object) -> None:
    """The control is every other test here: a registered set is mounted."""
    with of_own(node) as client:
        source = InputSource(source=SpecConfig(type=SOURCE, params={"Set": name}), target="/inputs/x")
        job = process("ls -la inputs/x", inputs=[source], queue_timeout=60, timeout=60)
        with pytest.raises(BacalhauError, match=r"names a set by its hash|no packages 000000000000"):
            client.submit(job).result()


@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("PUT", f"{PATH}/x"), ("DELETE", f"{PATH}/x")])
def test_a_key_is_not_enough_to_register_packages(node_factory: NodeFactory, method: str, path: str) -> None:
    served = node_factory("-c", "API.TrustLocalUser=false")
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {served.key}"}
    request = urllib.request.Request(served.url + path, b'{"Request": "ab"}', headers, method=method)
    with pytest.raises(urllib.error.HTTPError) as refused, urllib.request.urlopen(request, timeout=60):
        pass
    with refused.value as error:
        assert error.code == 403
        assert "a key is not enough" in json.loads(error.read())["Message"]


def test_what_can_not_be_resolved_leaves_no_job_and_no_draft(node: ServedNode, index: Index) -> None:
    with of_own(node) as client:
        for pip, reason in (
            (["no-such-thing"], "no package no-such-thing"),
            (["needed<1"], "no versions fit"),
        ):
            with pytest.raises(BadRequest, match=reason):
                client.submit(python(client, pip=pip))
        assert FEATURE in client.info.features and not client.jobs()
        assert not any((node.repo.path / "packages" / "drafts").iterdir())
