"""The node is killed at any instant, again and again: nothing is lost, nothing runs twice, nothing is left behind."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import logging
import os
import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from bacalhau_jupyter.client.jobs.build import local_path, url
from bacalhau_jupyter.compute.execution.record import Phase
from bacalhau_jupyter.models.jobs.job import Job
from tests.survival.slow_server import SlowServer
from tests.survival.world import ENGINES, World, pause

log = logging.getLogger(__name__)

SEED = int(os.environ.get("BACALHAU_JUPYTER_TEST_SEED", "20261121"))
"""Chooses the instants; another one looks for trouble elsewhere."""
LIMIT = 600.0
"""Seconds that the whole test may take."""
STATES = {
    Phase.NEW: "bid",
    Phase.OFFERED: "bid",
    Phase.FETCHING: "fetch",
    Phase.STARTING: "start",
    Phase.RUNNING: "run",
    Phase.PUBLISHING: "publish",
}
SPREAD = {
    # What to wait for, and within how many seconds after it to kill.
    "bid": ("", 0.3),
    "offer": (": bid made", 0.02),
    "fetch": (": bid accepted", 0.6),
    "start": (": inputs are fetched", 0.4),
    "run": (": running in", 1.0),
    "publish": (": ended with exit code", 0.25),
    "end": (": completed", 0.03),
}
AIMS = ("bid", "fetch", "run", "publish")
"""States in which at least two blows must fall."""
PLAN = [
    *[(state, engine) for state in SPREAD for engine in ENGINES],
    *[(state, engine) for state in AIMS for engine in ENGINES],
]
SLOW_BID = "grep -q slow-bid && sleep 0.4; exit 0"
"""The node's admission probe: bids on jobs with this label take a while."""

SCRIPTS = {
    "bid": "true",
    "offer": "true",
    "fetch": 'sha256sum < "$in/slow/slow.bin" > "$out/slow.sum"',
    "start": "true",
    "run": "sleep 1.1",
    # The parts are packed, which takes time; what is as large as `big` is kept beside the archive.
    "publish": 'for i in 1 2 3 4 5 6; do head -c 7000000 /dev/urandom > "$out/part$i"; done; '
    'head -c 9000000 /dev/urandom > "$out/big"; '
    'sha256sum < "$out/big" > "$out/big.sum"; cat "$out"/part* | sha256sum > "$out/parts.sum"',
    "end": "true",
}
SPOIL = '(echo spoilt >> "$in/data/known.txt") 2>/dev/null; (rm -rf "$in/data/sub") 2>/dev/null\n'


class Ordeal:
    """Ends the node of a world at the instants of a plan, with SIGKILL or ``gently`` with SIGTERM."""

    def __init__(self, world: World, data: Path, server: SlowServer, gently: bool = False) -> None:
        self.world, self.data, self.server, self.gently = world, data, server, gently
        self.random = random.Random(SEED)
        self.before = _digest(data)
        self.accepted: list[str] = []
        self.endless: list[str] = []
        self.stopped: list[str] = []
        self.histogram: Counter[str] = Counter()
        self.ends = 0

    def job(self, state: str, engine: str) -> Job:
        """Build a job that spends its time in a state."""
        inputs = [local_path(self.data, "/inputs/data")]
        if state == "fetch":
            inputs.append(url(self.server.url, "/inputs/slow"))
        labels = {"slow-bid": "1"} if state == "bid" else {}
        # As root, a job's own tries to write are stopped by the mount alone.
        return self.world.job(
            engine,
            SPOIL + SCRIPTS[state],
            inputs=inputs,
            labels=labels,
            cpu="0.5" if state == "publish" else "0.1",
        )

    def submit(self, state: str, engine: str) -> str:
        job_id = self.world.submit(self.job(state, engine))
        self.accepted.append(job_id)
        return job_id

    def end_in(self, state: str, engine: str) -> None:
        """Submit one job of any kind and one for the state, and end the node when that is there."""
        other = self.random.choice([name for name in ENGINES if name != engine])
        self.submit(self.random.choice(list(SPREAD)), other)
        endless = self.world.submit(self.world.job(other, "sleep 900"))
        job_id = self.submit(state, engine)
        execution = self.world.execution(job_id)
        line, within = SPREAD[state]
        if line:
            self.world.wait_for_line(execution + line)
        pause(self.random.uniform(0, within))
        self.stop_one()
        self.end()
        phase = self.world.phases().get(execution)
        self.histogram[STATES[phase] if phase else "over"] += 1
        self.endless.append(endless)

    def stop_one(self) -> None:
        """Ask for the end of a job that would run for ever, taken over from an earlier node."""
        if self.endless:
            self.stopped.append(self.endless.pop(0))
            self.world.stop_job(self.stopped[-1])

    def end_among_submissions(self) -> None:
        """End the node while four clients submit: whatever was acknowledged counts."""
        target = self.world.running.url

        def client(engine: str) -> None:
            try:
                for _ in range(6):
                    self.accepted.append(self.world.submit(self.job("end", engine), target))
            except (OSError, http.client.HTTPException):
                # Not answered, or in the middle of the answer.
                return

        threads = [threading.Thread(target=client, args=(ENGINES[n % 2],)) for n in range(4)]
        for thread in threads:
            thread.start()
        pause(self.random.uniform(0.02, 0.15))
        self.end()
        self.histogram["submit"] += 1
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()

    def end(self) -> None:
        """End the node."""
        if self.gently:
            assert self.world.running.stop() == 0
        else:
            self.world.running.kill()
        self.ends += 1

    def kill_at_birth(self) -> None:
        """Kill a node that is about to take up what the last one left."""
        self.world.kill_at_birth(self.random.uniform(0.3, 2.0))
        self.ends += 1
        self.histogram["restore"] += 1


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
def test_a_node_that_is_killed_at_any_instant_loses_no_job_and_runs_none_twice(
    world: World, slow_server: SlowServer
) -> None:
    ordeal = _prepared(world, slow_server)
    plan = list(PLAN)
    ordeal.random.shuffle(plan)
    for number, (state, engine) in enumerate(plan):
        world.start()
        ordeal.end_in(state, engine)
        if number % 8 == 3:
            ordeal.kill_at_birth()
        if number % 11 == 5:
            world.start()
            ordeal.end_among_submissions()
    # A machine of another speed may have left a state before the blow fell: try again.
    for state, engine in itertools.product(AIMS, ENGINES * 3):
        if ordeal.histogram[state] < 2:
            world.start()
            ordeal.end_in(state, engine)
    world.start()
    _check(ordeal)
    assert ordeal.ends >= 20, ordeal.histogram
    assert all(ordeal.histogram[state] >= 2 for state in AIMS), ordeal.histogram


@pytest.mark.slow
@pytest.mark.timeout(LIMIT)
def test_a_node_that_is_stopped_at_any_instant_loses_no_job_and_runs_none_twice(
    world: World, slow_server: SlowServer
) -> None:
    ordeal = _prepared(world, slow_server, gently=True)
    plan = [(state, engine) for state in SPREAD for engine in ENGINES]
    ordeal.random.shuffle(plan)
    for state, engine in plan:
        world.start()
        ordeal.end_in(state, engine)
    world.start()
    ordeal.end_among_submissions()
    world.start()
    _check(ordeal)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_no_line_of_a_job_is_lost_or_doubled_when_its_node_is_killed(world: World, engine: str) -> None:
    instants = random.Random(SEED)
    script = "i=0; while [ $i -lt 400 ]; do echo line $i; i=$((i+1)); sleep 0.01; done"
    world.start()
    job_id = world.submit(world.job(engine, script))
    world.wait_for_marks("START", job_id)
    for _ in range(3):
        pause(instants.uniform(0.1, 0.8))
        world.running.kill()
        world.start()
    states = world.wait_for([job_id])
    assert world.failures(states) == {}
    [execution] = world.executions(job_id)
    stdout = world.published(execution["ID"])["stdout"].decode()
    assert stdout.splitlines() == [f"line {number}" for number in range(400)]


def _prepared(world: World, server: SlowServer, *, gently: bool = False) -> Ordeal:
    data = _known_data(world.directory / "data")
    world.allow(f"{world.counter}:rw", str(data))
    world.options += [
        "Logging.Level=debug",
        "Compute.AllocatedCapacity.CPU=16",
        f"JobAdmissionControl.ProbeExec={SLOW_BID}",
    ]
    return Ordeal(world, data, server, gently)


def _check(ordeal: Ordeal) -> None:
    """After the last start: everything comes to its end, once, and nothing else is there."""
    world = ordeal.world
    while ordeal.endless:
        ordeal.stop_one()
    assert set(world.wait_for(ordeal.stopped).values()) == {"Stopped"}
    # What was stored and never acknowledged is a job all the same.
    everything = (set(ordeal.accepted) | set(world.jobs())) - set(ordeal.stopped)
    states = world.wait_for(everything, timeout_s=180)
    log.info("%d ends over %d jobs: %s", ordeal.ends, len(everything), dict(ordeal.histogram))

    assert set(ordeal.accepted) <= set(world.jobs())
    assert world.failures(states) == {}
    ends, starts = world.count("END"), world.count("START")
    assert {job: ends[job] for job in everything if ends[job] != 1} == {}
    assert {job: starts[job] for job in everything if starts[job] != 1} == {}
    assert {job: starts[job] for job in ordeal.stopped if starts[job] > 1 or ends[job]} == {}
    world.assert_nothing_left()
    assert _digest(ordeal.data) == ordeal.before
    for job_id in everything:
        _check_results(world, job_id, ordeal.server)


def _known_data(directory: Path) -> Path:
    (directory / "sub").mkdir(parents=True)
    (directory / "known.txt").write_text("as it was\n")
    (directory / "sub" / "more.bin").write_bytes(bytes(range(256)))
    # Nothing but the mount keeps a job from spoiling it.
    for path in (directory, directory / "sub"):
        path.chmod(0o777)
    (directory / "known.txt").chmod(0o666)
    return directory


def _digest(directory: Path) -> dict[str, tuple[str, float]]:
    return {
        str(path.relative_to(directory)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime,
        )
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def _check_results(world: World, job_id: str, server: SlowServer) -> None:
    """What was published, perhaps more than once, is whole."""
    published = [
        item["PublishedResult"] for item in world.executions(job_id) if item["PublishedResult"]["Type"]
    ]
    assert len(published) == 1, (job_id, published)
    files = world.published(published[0]["Params"]["ExecutionID"])
    assert {"stdout", "stderr", "exitCode"} <= set(files)
    if "outputs/big.sum" in files:
        parts = b"".join(files[f"outputs/part{number}"] for number in range(1, 7))
        for name, data in (("big", files["outputs/big"]), ("parts", parts)):
            checksum = files[f"outputs/{name}.sum"].split()[0].decode()
            assert checksum == hashlib.sha256(data).hexdigest()
    if "outputs/slow.sum" in files:
        assert files["outputs/slow.sum"].split()[0].decode() == server.sum
