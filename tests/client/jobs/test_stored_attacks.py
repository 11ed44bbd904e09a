"""A hostile job attacks what its node stores, on a node of an ordinary user: there both are the same user."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, replace
from bacalhau_jupyter.models.records.packages import PATH, SOURCE
from bacalhau_jupyter.transfer.archive.held import LAYOUT
from bacalhau_jupyter.transfer.archive.keeping import MIN_SIZE, is_synced
from tests.services.common import is_root, wait_until
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode, interpreter_for
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import found

pytestmark = [
    pytest.mark.process,
    pytest.mark.root,
    pytest.mark.skipif(not is_root(), reason="only root can start a node of another user"),
]

USER = 1600
TIERS = ["bubblewrap", "landlock"]
TARGET = "/inputs/packages"

REGISTER = f"""
import json, os, sys, urllib.request
def ask(method, path, **members):
    body = json.dumps(members).encode()
    request = urllib.request.Request(sys.argv[1] + path, body, {{"Content-Type": "application/json"}}, method=method)
    return json.load(urllib.request.urlopen(request))
draft = ask("POST", "{PATH}", Request="ab" * 32)
os.makedirs(draft["Directory"] + "/shared_package")
with open(draft["Directory"] + "/shared_package/__init__.py", "w") as file:
    file.write("VALUE = 'as registered'")
print(json.dumps(ask("PUT", "{PATH}/" + draft["Draft"], Request="ab" * 32, Target="x", Locked=[])))
"""

ATTACK = """
import os, sys
print("TRIED", os.getuid(), flush=True)
repo, *places = sys.argv[1:]
for place in places:
    for path in (os.path.join(above, name) for above, below, names in os.walk(place) for name in (*names, *below)):
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        for attack in (
            lambda: open(path, "a").write("poison"),
            lambda: os.truncate(path, 0),
            lambda: open(folder + "/poison.py", "w").write("poison"),
            lambda: os.mkdir(folder + "/__pycache__"),
            lambda: os.link(path, "outputs/linked"),
            lambda: os.utime(path, (1, 1)),
            lambda: os.setxattr(path, "user.poison", b"1"),
            lambda: os.chmod(path, 0o777),
            lambda: open(path, "a").write("poison"),
            lambda: os.rename(path, path + ".gone"),
            lambda: os.symlink("/etc/passwd", path + ".link"),
        ):
            try:
                attack()
            except OSError:
                pass
for path in (repo, f"{repo}/uploads/drafts", f"{repo}/uploads/contents", f"{repo}/packages/sets", f"{repo}/compute"):
    try:
        print("LISTED", path, os.listdir(path))
    except OSError:
        pass
"""

LOOK = """
import hashlib, os, sys
sys.path.insert(0, "inputs/packages")
import shared_package
print(shared_package.VALUE)
paths = sorted(os.path.join(above, name) for above, _, names in os.walk("inputs") for name in names)
print(*(hashlib.sha256(open(path, "rb").read()).hexdigest() for path in paths))
"""


def as_user(code: str, *arguments: str, cwd: Path = Path("/")) -> str:
    """Run Python as the node's user, unconfined."""
    python = service_or_skip(lambda: interpreter_for(USER))
    done = subprocess.run(
        [python.path, "-c", code, *arguments],
        user=USER,
        group=USER,
        extra_groups=[],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


class Stored:
    """A node that stores an upload, a set of packages and a result with a large file."""

    def __init__(self, served: ServedNode, client: Client, upload: Path) -> None:
        self.repo = served.repo.path
        self._client = client
        self._upload = str(upload)
        self._set = json.loads(as_user(REGISTER, served.url))["Set"]
        code = f"import os; open('outputs/large.bin', 'wb').write(os.urandom({MIN_SIZE}))"
        self._result = client.submit(process(["python3", "-c", code])).result()
        self.run(["true"])
        self._sha256 = hashlib.sha256(upload.read_bytes()).hexdigest()
        # A result is brought to the disk while others read it already, and a file more says that it is there.
        assert wait_until(lambda: all(is_synced(layout.parent) for layout in self._layouts()), timeout_s=60)

    def _layouts(self) -> list[Path]:
        return found(self.repo / "compute" / "results", LAYOUT)

    def places(self) -> list[Path]:
        """Return the directories whose files jobs are shown."""
        return [
            self.repo / "uploads" / "contents" / self._sha256,
            self.repo / "packages" / "sets" / self._set / "site",
            *(layout.parent for layout in self._layouts()),
        ]

    def facts(self) -> dict[str, tuple[int, int, str]]:
        """Return mode, time and hash of what is stored; descriptions, whose times say when it was used, apart."""
        files = [
            path
            for place in self.places()
            for path in found(place, "*")
            if path.is_file() and path.suffix != ".json"
        ]
        assert len(files) >= 3
        return {
            str(path): (
                path.stat().st_mode,
                path.stat().st_mtime_ns,
                hashlib.sha256(path.read_bytes()).hexdigest(),
            )
            for path in files
        }

    def run(self, command: list[str]) -> str:
        """Run a job that is shown all of it; return what it prints."""
        job: Job = process(command, inputs=[self._upload, self._result])
        packages = InputSource(source=SpecConfig(type=SOURCE, params={"Set": self._set}), target=TARGET)
        task = replace(job.task, input_sources=[*job.task.input_sources, packages])
        return str(self._client.submit(replace(job, tasks=[task])).result().stdout)


@pytest.fixture
def stored_by(node_factory: NodeFactory, tmp_path: Path) -> Iterator[Callable[[str], Stored]]:
    """Start a node of an ordinary user with a tier, and let it store things."""
    clients: list[Client] = []

    def start(tier: str) -> Stored:
        served = node_factory("-c", f"Engines.Process.Tiers={tier}", uid=USER)
        client = Client(served.url, api_key=served.key)
        clients.append(client)
        if "process" not in client.info.compute_node_info.engine_runtimes:
            pytest.skip(f"{tier} does not work here")
        upload = tmp_path / "upload.bin"
        upload.write_bytes(os.urandom(3_000_000))
        return Stored(served, client, upload)

    yield start
    for client in clients:
        client.close()


@pytest.mark.parametrize("tier", TIERS)
def test_a_job_of_the_nodes_own_user_neither_changes_nor_finds_what_is_stored(
    stored_by: Callable[[str], Stored], tier: str
) -> None:
    stored = stored_by(tier)
    before, seen_before = stored.facts(), stored.run(["python3", "-c", LOOK])
    assert "as registered" in seen_before
    printed = stored.run(["python3", "-c", ATTACK, str(stored.repo), "inputs"])
    assert f"TRIED {USER}" in printed
    assert "LISTED" not in printed
    assert stored.facts() == before
    assert stored.run(["python3", "-c", LOOK]) == seen_before


def test_the_attack_changes_what_is_stored_where_nothing_confines_it(
    stored_by: Callable[[str], Stored],
) -> None:
    stored = stored_by("bubblewrap")
    before = stored.facts()
    printed = as_user(ATTACK, str(stored.repo), *map(str, stored.places()))
    assert printed.count("LISTED") == 5
    after = stored.facts()
    assert all(after.get(path) != facts for path, facts in before.items())
