"""■ at every phase of a cell: the state of the job is shown, and the kernel continues."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from bacalhau_jupyter.notebook.live.card import MIME
from tests.notebook.conftest import Kernel, Ran
from tests.services.common import wait_until

pytestmark = pytest.mark.timeout(300)

TASKS = (
    "import asyncio\n"
    "from bacalhau_jupyter.client.connection.portal import shared_portal\n"
    "async def names():\n"
    "    return [t.get_coro().__qualname__ for t in asyncio.all_tasks() if t is not asyncio.current_task()]\n"
    "def left():\n"
    "    import time\n"
    "    for _ in range(600):\n"
    "        found = [n for n in shared_portal().run(names()) if 'lease' not in n and 'websocket' not in n.lower()]\n"
    "        if not found:\n"
    "            return found\n"
    "        time.sleep(0.1)\n"
    "    return found\n"
)


def once(kernel: Kernel, when: Callable[[Ran], bool], after_s: float = 0) -> Callable[[Ran], None]:
    """Interrupt the kernel as soon as ``when(ran)`` holds, or some seconds after that."""
    done = threading.Event()

    def watch(ran: Ran) -> None:
        if done.is_set() or not when(ran):
            return
        done.set()
        threading.Timer(after_s, kernel.interrupt).start()

    return watch


def phase(ran: Ran) -> str:
    """Return what the card says now."""
    record = ran.displays[-1][MIME] if ran.displays else {}
    return str(record["phase"]) if record.get("job_id") else ""


def state_of(kernel: Kernel, job: str) -> str:
    return str(kernel.value(f"__import__('bacalhau_jupyter').Client().job('{job}').state.value"))


def job_in(text: str) -> str:
    match = re.search(r"j-[0-9a-f]+", text)
    assert match is not None, text
    return match.group()


def short_and_clean(kernel: Kernel, ran: Ran) -> None:
    assert ran.status == "error"
    assert "Interrupted" in ran.traceback
    assert len(ran.traceback.splitlines()) <= 3, ran.traceback
    kernel.run(TASKS)
    assert kernel.value("left()") == []
    assert kernel.run("%%bacalhau sh\necho still here").stdout == "still here\n"


def test_a_cell_with_on_interrupt_detach_leaves_its_job_running(kernel: Kernel) -> None:
    ran = kernel.run(
        "%%bacalhau sh --on-interrupt detach\necho started; sleep 600",
        on_output=once(kernel, lambda ran: "started" in ran.stdout),
    )
    job = job_in(ran.traceback)
    assert "continues" in ran.traceback
    assert state_of(kernel, job) == "Running"
    short_and_clean(kernel, ran)
    kernel.run(f"%bacalhau job stop {job}")


def test_a_service_whose_cell_is_interrupted_continues_unless_the_cell_says_stop(kernel: Kernel) -> None:
    spec = (
        "Type: service\nTasks:\n- Name: main\n  Engine: {Type: process, Params: {Command: [sh, -c, "
        '"echo started; sleep 600"]}}'
    )

    def started() -> Callable[[Ran], None]:
        return once(kernel, lambda ran: "started" in ran.stdout)

    ran = kernel.run(f"%%bacalhau job\n{spec}", on_output=started())
    job = job_in(ran.traceback)
    assert "continues, as it runs until it is stopped" in ran.traceback
    assert f"%bacalhau job stop {job} ends it" in ran.traceback
    assert state_of(kernel, job) == "Running"
    short_and_clean(kernel, ran)
    kernel.run(f"%bacalhau job stop {job}")
    ran = kernel.run(f"%%bacalhau job --on-interrupt stop\n{spec}", on_output=started())
    assert "is stopped" in ran.traceback
    assert state_of(kernel, job_in(ran.traceback)) == "Stopped"


def test_a_queued_job_is_stopped(kernel: Kernel) -> None:
    kernel.run("most = __import__('bacalhau_jupyter').Client().info.compute_node_info.max_capacity.cpu")
    most = kernel.value("most")
    kernel.run(f"%%bacalhau sh --detach --cpu {most}\nsleep 600")
    kernel.run("first = _")
    # It has the node's processors only once it runs.
    assert wait_until(lambda: bool(kernel.value("first.state.value") == "Running"), timeout_s=60)
    ran = kernel.run(
        f"%%bacalhau sh --cpu {most}\ntrue",
        on_output=once(kernel, lambda ran: phase(ran).startswith("waiting for")),
    )
    kernel.run("first.stop()")
    assert "is stopped" in ran.traceback
    assert state_of(kernel, job_in(ran.traceback)) == "Stopped"
    short_and_clean(kernel, ran)


def test_a_job_whose_image_is_being_pulled_is_stopped(kernel: Kernel, docker_engine: str) -> None:
    # A registry that takes the connection and never says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        image = f"127.0.0.1:{silent.getsockname()[1]}/slow/image:1"
        ran = kernel.run(
            f"%%bacalhau docker {image} -- true",
            on_output=once(kernel, lambda ran: phase(ran) not in ("", "submitted")),
        )
    assert "is stopped" in ran.traceback
    assert state_of(kernel, job_in(ran.traceback)) == "Stopped"
    short_and_clean(kernel, ran)


def test_an_interrupted_attach_shows_the_state_of_the_job(kernel: Kernel) -> None:
    kernel.run("%%bacalhau sh --detach\necho started; sleep 600")
    job = kernel.value("_.short_id")
    ran = kernel.run(f"%bacalhau attach {job}", on_output=once(kernel, lambda ran: "started" in ran.stdout))
    assert job in ran.traceback
    assert state_of(kernel, job) == "Running"
    short_and_clean(kernel, ran)
    kernel.run(f"%bacalhau job stop {job}")


def test_interrupted_logs_are_a_short_line(kernel: Kernel) -> None:
    kernel.run("%%bacalhau sh --detach\necho started; sleep 600")
    job = kernel.value("_.short_id")
    ran = kernel.run(
        f"%bacalhau job logs -f {job}", on_output=once(kernel, lambda ran: "started" in ran.stdout)
    )
    assert state_of(kernel, job) == "Running"
    short_and_clean(kernel, ran)
    kernel.run(f"%bacalhau job stop {job}")


@pytest.fixture
def fetches_again(kernel: Kernel) -> Iterator[None]:
    """Results that a kernel fetches again and again, so that it is at it whenever an interrupt comes."""
    kernel.run(
        "from bacalhau_jupyter.notebook import magics\nonce = magics.values_of\n"
        "def again(result, language, outs, **named):\n"
        "    while True:\n        values = once(result, language, outs, **named)\n"
        "        if not outs:\n            return values\n"
        "magics.values_of = again"
    )
    yield
    kernel.run("magics.values_of = once")


def test_an_interrupt_while_results_are_fetched_is_short(kernel: Kernel, fetches_again: None) -> None:
    ran = kernel.run(
        "%%bacalhau python --disk 2gb --out n\n"
        "import os\n"
        "for number in range(30):\n"
        "    with open(f'outputs/{number}', 'wb') as file: file.write(os.urandom(10 << 20))\n"
        "n = 1",
        timeout_s=200,
        on_output=once(
            kernel, lambda ran: bool(ran.displays) and ran.displays[-1][MIME]["state"] == "Completed"
        ),
    )
    assert re.search("results|is over", ran.traceback), ran.traceback
    short_and_clean(kernel, ran)


def test_an_interrupted_await_ends_at_once_and_leaves_no_thread(kernel: Kernel) -> None:
    kernel.run("%%bacalhau sh --detach\nsleep 600")
    kernel.run("job = _")
    # An interrupt that comes before the cell begins would be lost.
    ran = kernel.run(
        "print('awaits', flush=True)\nawait job",
        on_output=once(kernel, lambda ran: "awaits" in ran.stdout, after_s=1),
    )
    assert ran.status == "error"
    kernel.run(TASKS)
    assert kernel.value("left()") == []
    kernel.run("job.stop()")


def test_a_second_interrupt_detaches(kernel: Kernel) -> None:
    # The node is held still, so that the stop can't come through.
    import os
    import signal

    from bacalhau_jupyter.config.election import read_record

    record = read_record(kernel.repo)
    assert record is not None
    first, second = threading.Event(), threading.Event()

    def watch(ran: Ran) -> None:
        if "started" not in ran.stdout:
            return
        if not first.is_set():
            first.set()
            os.kill(record.pid, signal.SIGSTOP)
            kernel.interrupt()
        # Two signals that come before the kernel looks at the first are one.
        if "· interrupted" in ran.displays[-1]["text/plain"] and not second.is_set():
            second.set()
            threading.Timer(1.0, kernel.interrupt).start()

    try:
        ran = kernel.run("%%bacalhau sh\necho started; sleep 600", on_output=watch)
    finally:
        os.kill(record.pid, signal.SIGCONT)
    assert "detached" in ran.traceback
    short_and_clean(kernel, ran)
    kernel.run(f"%bacalhau job stop {job_in(ran.traceback)}")


def test_an_interrupt_while_submitting_leaves_no_job_behind(kernel: Kernel) -> None:
    import os
    import signal

    from bacalhau_jupyter.config.election import read_record

    record = read_record(kernel.repo)
    assert record is not None
    kernel.run("%bacalhau version")
    # The job of a node that answers too late would run: this one answers once it has a processor.
    kernel.run("from bacalhau_jupyter.notebook import session; session._LATE_ANSWER_S = 60.0")
    later: list[threading.Timer] = []

    def watch(ran: Ran) -> None:
        # The card says that the job is being submitted; an interrupt that comes before the cell begins would be lost.
        if ran.displays and not later:
            later.append(threading.Timer(1.0, kernel.interrupt))
            later.append(threading.Timer(2.0, os.kill, (record.pid, signal.SIGCONT)))
            for timer in later:
                timer.start()

    os.kill(record.pid, signal.SIGSTOP)
    try:
        ran = kernel.run("%%bacalhau sh --name half-submitted\nsleep 600", on_output=watch)
    finally:
        for timer in later:
            timer.cancel()
        os.kill(record.pid, signal.SIGCONT)
    short_and_clean(kernel, ran)
    listed = kernel.value(
        "[j.state.state_type.value for j in __import__('bacalhau_jupyter').Client().jobs(limit=0)"
        " if j.name == 'half-submitted']"
    )
    assert listed in ([], ["Stopped"])
