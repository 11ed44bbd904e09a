"""`Client` and its handles against a real node: threads, loops, forks, closing."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import JobFailed
from bacalhau_jupyter.models.errors import BacalhauError, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from tests.services.node import ServedNode, start_node


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    started = start_node(tmp_path_factory.mktemp("client") / "repo")
    yield started
    started.stop()


@pytest.fixture
def client(served: ServedNode, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name in list(os.environ):
        if name.startswith("BACALHAU_"):
            monkeypatch.delenv(name)
    with Client(data_dir=str(served.repo.path)) as made:
        yield made


def run_script(script: str, served: ServedNode) -> str:
    """Run a script in a process of its own with the node's directory as its argument; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(served.repo.path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_threads_share_one_client_and_one_lease(served: ServedNode, client: Client) -> None:
    ready = threading.Barrier(8)
    seen: list[int] = []

    def look() -> None:
        ready.wait()
        seen.append(id(client.api()))
        client.jobs()

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(seen) == 8
    assert len(set(seen)) == 1


async def test_a_job_is_awaited_on_any_loop_and_giving_up_is_quick(client: Client) -> None:
    job = client.submit(process("echo hi"))
    assert (await job).stdout == "hi\n"
    # Longer than a test may take: whoever gave up and waited for it all the same would be stopped.
    long = client.submit(process("sleep 600"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(long, 0.5)
    long.stop()
    with pytest.raises(JobFailed, match="was stopped"):
        await long


def test_a_script_that_gives_up_waiting_ends_at_once(served: ServedNode, client: Client) -> None:
    script = (
        "import asyncio, sys; from bacalhau_jupyter import Client, process\n"
        "job = Client(data_dir=sys.argv[1]).submit(process('sleep 600'))\n"
        "async def main():\n"
        "    try: await asyncio.wait_for(job, 1)\n"
        "    except TimeoutError: print('gave up')\n"
        "asyncio.run(main()); job.stop(); print(job.state.value)\n"
    )
    assert run_script(script, served) == "gave up\nStopped\n"


def test_a_closed_client_opens_again_on_use(client: Client) -> None:
    job = client.submit(process("true"))
    client.close()
    assert job.result().exit_code == 0


def test_a_forked_child_connects_anew_and_leaves_the_parent_alone(served: ServedNode) -> None:
    # In a process of its own: pytest itself must not be forked with threads.
    script = (
        "import os, sys, warnings; warnings.simplefilter('ignore')\n"
        "from bacalhau_jupyter import Client\n"
        "from bacalhau_jupyter.client.jobs.build import process\n"
        "client = Client(data_dir=sys.argv[1])\n"
        "result = client.submit(process('echo x > outputs/x')).result()\n"
        "path = result.files['outputs/x']\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    print('child', len(client.jobs()) > 0, flush=True)\n"
        "    sys.exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "print('parent', len(client.jobs()) > 0, path.exists())\n"
    )
    assert run_script(script, served) == "child True\nparent True True\n"


def test_a_named_job_submitted_again_shows_its_new_run_only(client: Client) -> None:
    for word in ("one", "two"):
        job = client.submit(process(f"echo {word}", name="again"))
        assert [update.text for update in job.updates() if hasattr(update, "text")] == [f"{word}\n"]
        assert job.result().stdout == f"{word}\n"


def test_output_is_there_without_a_publisher_and_of_every_execution(client: Client) -> None:
    plain = client.submit(process("echo out; echo err >&2", outputs=(), publisher=SpecConfig())).result()
    assert (plain.stdout, plain.text("stderr")) == ("out\n", "err\n")
    long = client.submit(
        process(
            "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done",
            outputs=(),
            publisher=SpecConfig(),
        )
    ).result()
    assert len(long.stdout.splitlines()) == 2000
    both = client.submit(process("echo one of two", count=2)).result()
    assert both.stdout == "one of two\n" * 2


def test_odd_file_names_come_back_and_nothing_outside_is_reached(client: Client, tmp_path: Path) -> None:
    job = client.submit(
        process(
            "echo words; cd outputs; echo 1 > 'ä b'; echo 2 > 'new\nline'; echo '{\"acc\": 0.9}' > m.json"
        )
    )
    result = job.result()
    assert set(result.ls("outputs/*")) == {"outputs/ä b", "outputs/new\nline", "outputs/m.json"}
    assert result.text("ä b") == "1\n"
    with pytest.raises(NotFound):
        result.get("../../../etc/passwd", tmp_path)
    with pytest.raises(NotFound):
        result.text("/etc/passwd")
    with pytest.raises(BacalhauError, match="is not JSON"):
        result.json("stdout")


def test_results_land_on_another_disk(client: Client) -> None:
    import tempfile

    if (
        not Path("/dev/shm").is_dir()
        or Path("/dev/shm").stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev
    ):
        pytest.skip("one disk only")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        job = client.submit(process("echo x > outputs/x"))
        job.result()
        target = job.get(f"{other}/here")
        assert (target / "outputs" / "x").read_text() == "x\n"
        assert [path.name for path in target.iterdir() if path.name.startswith(".")] == []


def test_ten_thousand_files_are_listed(client: Client) -> None:
    body = "cd outputs; i=0; while [ $i -lt 10000 ]; do : > f$i; i=$((i+1)); done"
    result = client.submit(process(body)).result()
    assert len(result.ls("outputs/f*")) == 10_000
