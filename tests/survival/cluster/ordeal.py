"""Jobs run on a cluster while a plan befalls it."""

from __future__ import annotations

import contextlib
import http.client
import logging
import random
import signal
import threading
import time
import urllib.error

import psutil

from tests.services.common import wait_until
from tests.survival.cluster.plan import LINK, ORCHESTRATOR, SERVER, STATION, Blow, Kind, steps
from tests.survival.cluster.town import Station, Town
from tests.survival.world import ENGINES, pause

log = logging.getLogger(__name__)

LINES = (1, 30)
"""Lines that a job prints, one each `LINE_S` seconds."""
LINE_S = 0.2
RETRY_S = 0.3


class Ordeal:
    """A town, a seed, and so many jobs in so many seconds.

    Attributes
    ----------
    lines
        Job ID → how many lines it prints; of the jobs whose submission was acknowledged.
    """

    def __init__(self, town: Town, seed: int, total_s: float, jobs: int) -> None:
        self.town = town
        self.lines: dict[str, int] = {}
        self._steps = steps(seed, total_s)
        self._jobs_chance = random.Random(seed + 1)
        self._total_s, self._jobs = total_s, jobs
        self._ended = threading.Event()
        self._url = town.running.url

    def run(self) -> None:
        """Let the plan happen while jobs are submitted; everybody is there again at the end."""
        clients = threading.Thread(target=self._submit_all)
        clients.start()
        try:
            for step in self._steps:
                pause(step.rest_s)
                self._strike(step.blows)
        finally:
            self._ended.set()
            clients.join()

    # ---- jobs

    def _submit_all(self) -> None:
        for number in range(self._jobs):
            engine = ENGINES[number % len(ENGINES)]
            lines = self._jobs_chance.randint(*LINES)
            script = f"i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i+1)); sleep {LINE_S}; done"
            while (job_id := self._submit(engine, script)) is None:
                pause(RETRY_S)
            self.lines[job_id] = lines
            # Once the plan has ended, the rest comes at once.
            self._ended.wait(self._total_s / self._jobs)

    def _submit(self, engine: str, script: str) -> str | None:
        """Submit; None where the orchestrator did not acknowledge it (it may have the job all the same)."""
        try:
            return self.town.submit(self.town.job(engine, script), self._url)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"the job was refused: {error.read().decode()}") from None
        except (OSError, http.client.HTTPException):
            # Not answered, or in the middle of the answer.
            return None

    # ---- blows

    def _strike(self, blows: tuple[Blow, ...]) -> None:
        undone = time.monotonic()
        for blow in blows:
            log.info("%s", blow)
            self._hit(blow)
        for blow in sorted(blows, key=lambda each: each.lasts_s):
            pause(max(0.0, undone + blow.lasts_s - time.monotonic()))
            self._mend(blow)

    def _hit(self, blow: Blow) -> None:
        if blow.victim.startswith(LINK):
            link = self._station(blow).link
            (link.cut if blow.kind is Kind.CUT else link.pause)()
        elif blow.victim == SERVER:
            for server in self.town.servers():
                with contextlib.suppress(psutil.NoSuchProcess):
                    (server.kill if blow.kind is Kind.KILL else server.suspend)()
        else:
            node = self._station(blow).running if blow.victim != ORCHESTRATOR else self.town.running
            match blow.kind:
                case Kind.KILL:
                    node.kill()
                case Kind.PAUSE:
                    node.process.send_signal(signal.SIGSTOP)
                case _:
                    assert node.stop() == 0, node.tail(30)

    def _mend(self, blow: Blow) -> None:
        if blow.victim.startswith(LINK):
            link = self._station(blow).link
            (link.restore if blow.kind is Kind.CUT else link.resume)()
        elif blow.victim == SERVER:
            for server in self.town.servers():
                with contextlib.suppress(psutil.NoSuchProcess):
                    server.resume()
        elif blow.kind is Kind.PAUSE:
            node = self._station(blow).running if blow.victim != ORCHESTRATOR else self.town.running
            node.process.send_signal(signal.SIGCONT)
        elif blow.victim == ORCHESTRATOR:
            self.town.start()
        else:
            self._station(blow).start()

    def _station(self, blow: Blow) -> Station:
        return self.town.stations[int(blow.victim.removeprefix(LINK).removeprefix(STATION))]

    # ---- the end

    def settle(self, timeout_s: float) -> dict[str, str]:
        """Wait until all nodes are back and all jobs are over; return the state of every job that the town has."""
        town = self.town
        assert wait_until(lambda: town.connected() == len(town.stations), timeout_s=timeout_s), (
            f"not all nodes came back: {town.report()}"
        )
        return town.wait_for(set(self.lines) | set(town.jobs()), timeout_s=timeout_s)
