"""A node of a cluster that says hostile things: it joins over NATS as official nodes do, and runs what it gets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import RunCommandResult
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import ExecutionLogsRequest, HandshakeRequest, HandshakeResponse
from bacalhau_jupyter.transport.nats.compute import NatsComputeEnd
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from tests.orchestrator.support import Peer, node_info

NODE = "n-hostile"
MARKUP = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
CONTROLS = "\x1b]0;title\x07\x1b[2J\u202egnp.exe\u200b"
LONG = "y" * (1 << 20)
FAILS = "fails"
"""What the name of a job begins with that the node fails with a reason of its own; others end with exit code 3."""


async def _logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
    yield LogFrame(value=LogLine(type=1, line=f"{MARKUP}{CONTROLS}\n"))


class HostileNode:
    """The node, on a loop of its own.

    Parameters
    ----------
    url, token
        Of the cluster that it joins.
    """

    def __init__(self, url: str, token: str) -> None:
        self._end = NatsComputeEnd(NODE, NatsSettings((url,), NODE, token), SystemClock())
        self._peer = Peer(
            cast(Any, None),
            NODE,
            run=lambda execution: (
                f"{MARKUP}{CONTROLS}{LONG}"
                if execution.job is not None and execution.job.name.startswith(FAILS)
                else None
            ),
            output=RunCommandResult(
                stdout=f"{MARKUP}{CONTROLS}", stderr=f"{MARKUP}{CONTROLS}\n", exit_code=3
            ),
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def ask(self, labels: dict[str, str]) -> HandshakeResponse:
        """Say hello with these labels; return the answer."""
        info = replace(node_info(NODE), labels={"name": NODE, **labels})
        answer = self._wait(self._end.request(HandshakeRequest(node_info=info)))
        assert isinstance(answer, HandshakeResponse)
        return answer

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _connect(self) -> None:
        self._peer.end = cast(Any, self._end)
        await self._end.connect(NODE, self._peer.take, _logs)

    def start(self) -> None:
        """Connect."""
        self._thread.start()
        self._wait(self._connect())

    def stop(self) -> None:
        """Leave."""
        self._wait(self._peer.leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


@contextmanager
def hostile_node(url: str, token: str) -> Iterator[HostileNode]:
    """Let the node connect; it leaves at the end."""
    node = HostileNode(url, token)
    node.start()
    try:
        yield node
    finally:
        node.stop()
