"""Plain HTTP calls to a cluster, and jobs whose course is known beforehand, in the words of its nodes' engine."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import aiohttp

JOBS = "/api/v1/orchestrator/jobs"
TERMINAL = ("Completed", "Failed", "Stopped")


class Engine(Protocol):
    """Writes jobs for one kind of node."""

    missing: str
    """An engine that such nodes do not have."""
    complaint: str
    """How a failure of the engine begins."""

    def spec(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return the engine of a task that sleeps (``Sleep``), ends with ``ExitCode``, or fails (``Fail``)."""
        ...


class Noop:
    """The engine of nodes of ours that runs nothing."""

    missing = "quantum"
    complaint = "it broke"

    def spec(self, params: dict[str, Any]) -> dict[str, Any]:
        return {"Type": "noop", "Params": params}


class Image:
    """The engine that official nodes have, too.

    Parameters
    ----------
    name
        An image with a shell, which a registry knows.
    """

    missing = "noop"
    complaint = "executable file not found"

    def __init__(self, name: str) -> None:
        self._name = name

    def spec(self, params: dict[str, Any]) -> dict[str, Any]:
        command = ["no-such-program"] if "Fail" in params else ["/bin/sh"]
        script = f"sleep {params.get('Sleep', 0)}; exit {params.get('ExitCode', 0)}"
        arguments = [] if "Fail" in params else ["-c", script]
        return {
            "Type": "docker",
            "Params": {"Image": self._name, "Entrypoint": command, "Parameters": arguments},
        }


class Caller:
    """Plain HTTP calls to one cluster; history is read the way the official CLI does."""

    def __init__(self, session: aiohttp.ClientSession, engine: Engine | None = None) -> None:
        self._session = session
        self.engine = engine or Noop()

    async def call(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """Make a call whose answer has this status; return the answer."""
        async with self._session.request(method, path, json=body) as answer:
            content = await answer.json()
        assert answer.status == status, content
        return content

    async def submit(self, params: dict[str, Any] | None = None, force: bool = False, **changes: Any) -> str:
        """Submit a job of one task; return its ID."""
        engine = changes.pop("Engine", self.engine.spec(params or {}))
        task = {"Name": "main", "Engine": engine, **changes.pop("task", {})}
        job = {"Type": "batch", "Count": 1, "Tasks": [task], **changes}
        return str((await self.call("PUT", JOBS, {"Job": job, "Force": force}))["JobID"])

    async def history(self, job: str, version: int = 0) -> list[dict[str, Any]]:
        """Poll until the token is empty: that is when an official client stops watching."""
        token, events = "", []
        async with asyncio.timeout(60):
            while True:
                page = await self.call(
                    "GET", f"{JOBS}/{job}/history?limit=2&job_version={version}&next_token={token}"
                )
                events += page["Items"]
                token = page["NextToken"]
                if not token:
                    return events

    async def state(self, job: str, expected: str = "") -> dict[str, Any]:
        """Wait until a job is over, or in a state; return that."""
        async with asyncio.timeout(60):
            while True:
                state: dict[str, Any] = (await self.call("GET", f"{JOBS}/{job}"))["Job"]["State"]
                if state["StateType"] == expected or (not expected and state["StateType"] in TERMINAL):
                    return state
