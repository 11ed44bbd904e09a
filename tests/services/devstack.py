"""``bacalhau-jupyter devstack`` as a process: an orchestrator and several compute nodes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NOOP = ("-c", "Engines.Disabled=docker,process,wasm")
LIMIT_S = 60.0


@dataclass
class Stack:
    """A devstack as a process; ``directory`` is its temporary directory."""

    process: subprocess.Popen[str]
    directory: Path

    def until_ready(self) -> dict[str, str]:
        """Return the variables of the lines that a shell is to run."""
        assert self.process.stdout is not None
        variables: dict[str, str] = {}
        for line in self.process.stdout:
            if match := re.fullmatch(r"export (\w+)=(\S+)\n", line):
                variables[match[1]] = match[2]
            if len(variables) == 2:
                return variables
        raise AssertionError(f"it ended with {self.process.wait(LIMIT_S)}")

    def interrupt(self) -> tuple[int, str]:
        """End it as Ctrl-C does; return its exit status and what it printed last."""
        self.process.send_signal(signal.SIGINT)
        rest, _ = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, rest

    def left(self) -> list[str]:
        """Return the names of what lies in its temporary directory."""
        return sorted(path.name for path in self.directory.iterdir())

    def kill(self) -> None:
        """End it at once; safe to call twice."""
        self.process.kill()
        self.process.communicate(timeout=LIMIT_S)


def start_devstack(directory: Path, *words: str, env: Mapping[str, str] | None = None) -> Stack:
    """Start one on free ports, with engine ``noop`` only and ``directory`` as its temporary directory."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "bacalhau_jupyter", "devstack", "--random-ports", *NOOP, *words],
        env={**kept, "TMPDIR": str(directory), "HOME": str(directory), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory.parent,
    )
    return Stack(process, directory)
