"""A real kernel with a repo directory of its own; the first magic starts its node."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

from bacalhau_jupyter.config.repo import Repo
from tests.services.node import end_node_of

REPLY_S = 120
PATIENT = (
    "from bacalhau_jupyter.client.jobs import interrupts\n"
    "from bacalhau_jupyter.notebook.live.endings import Ending\n"
    "interrupts.kernel_ends.__defaults__ = Ending.__init__.__defaults__ = (60.0,)"
)
"""Lets a kernel that is interrupted wait for the message that it ends, however late a busy machine sends it."""


@dataclass
class Ran:
    """What one cell did."""

    status: str = ""
    stdout: str = ""
    stderr: str = ""
    displays: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    times: list[tuple[float, str]] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    """The outputs that a notebook would hold, in order: ``stdout``, ``stderr``, ``display``, ``result``, ``error``."""
    display_ids: set[str] = field(default_factory=set)

    @property
    def traceback(self) -> str:
        """The traceback as the notebook shows it, without colours."""
        import re

        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(self.error.get("traceback", [])))


class Kernel:
    """Runs cells and collects what they show."""

    def __init__(self, repo: Repo, directory: Path) -> None:
        self.repo = repo
        self.manager = KernelManager()
        drop = ("BACALHAU_", "AWS_", "JUPYTER", "JPY_")
        env = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
        self.manager.start_kernel(env={**env, "BACALHAU_DIR": str(repo.path)}, cwd=str(directory))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=60)
        except BaseException:
            self.client.stop_channels()
            self.manager.shutdown_kernel(now=True)
            raise

    def run(self, code: str, *, timeout_s: float = 90, on_output: Any = None, cell: str = "") -> Ran:
        """Run a cell; ``on_output(ran)`` is called after every output. ``cell`` is the id that a front end sends."""
        ran = Ran()
        message = self._send(code, cell)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                reply = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"the cell did not end in {timeout_s} s: {ran}") from None
            if reply["parent_header"].get("msg_id") != message:
                continue
            if self._take(ran, reply["header"]["msg_type"], reply["content"]):
                break
            if on_output is not None:
                on_output(ran)
        ran.status = self.reply(message)["status"]
        return ran

    def _send(self, code: str, cell: str) -> str:
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        metadata = {"cellId": cell} if cell else {}
        request = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(request)
        return str(request["header"]["msg_id"])

    def reply(self, message: str) -> dict[str, Any]:
        """Return the answer to a request."""
        while True:
            answer = self.client.get_shell_msg(timeout=REPLY_S)
            if answer["parent_header"].get("msg_id") == message:
                return answer["content"]

    @staticmethod
    def _take(ran: Ran, kind: str, content: dict[str, Any]) -> bool:
        if kind == "stream":
            setattr(ran, content["name"], getattr(ran, content["name"]) + content["text"])
            if ran.outputs[-1:] != [content["name"]]:
                ran.outputs.append(content["name"])
            ran.times.append((time.monotonic(), content["text"]))
        elif kind in ("display_data", "update_display_data"):
            ran.displays.append(content["data"])
            ran.display_ids.add(content["transient"].get("display_id", ""))
            ran.outputs += ["display"] if kind == "display_data" else []
        elif kind == "execute_result":
            ran.result = content["data"]
            ran.outputs.append("result")
        elif kind == "error":
            ran.error = content
            ran.outputs.append("error")
        return kind == "status" and content["execution_state"] == "idle"

    def value(self, expression: str) -> Any:
        """Evaluate an expression in the kernel and return it (literals only)."""
        import ast

        ran = self.run(f"print(repr({expression}))")
        assert ran.status == "ok", ran.traceback
        return ast.literal_eval(ran.stdout.strip())

    def interrupt(self) -> None:
        """Do what ■ does, from any thread (the manager would leave an event loop behind in each)."""
        provisioner: Any = self.manager.provisioner
        os.kill(provisioner.process.pid, signal.SIGINT)

    def close(self) -> None:
        """End the kernel, then the node its magics started."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        end_node_of(self.repo)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel with the extension loaded; no Jupyter server around it."""
    directory = tmp_path_factory.mktemp("notebook")
    made = Kernel(Repo.open(tmp_path_factory.mktemp("repo") / "repo"), directory)
    try:
        ran = made.run("%load_ext bacalhau_jupyter")
        assert ran.status == "ok", ran.traceback
        yield made
    finally:
        made.close()
