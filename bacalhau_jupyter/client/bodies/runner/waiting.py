"""``await`` in WebAssembly, which has no sockets: an event loop that only its own tasks and its clock wake."""

from __future__ import annotations

import asyncio
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any


def run(body: Coroutine[Any, Any, Any]) -> None:
    """Run a body with top-level ``await``."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(body)


class _Clock:
    """Stands where a loop has what tells of its sockets."""

    def select(self, timeout_s: float | None) -> list[Any]:
        """Wait for the next task that has a time; where there is none, nothing will ever happen."""
        if timeout_s is None:
            raise RuntimeError("the body awaits something that nothing in it brings about")
        time.sleep(timeout_s)
        return []


class _Loop(asyncio.BaseEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self._selector = _Clock()

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
