"""Command lines as processes, against a real node process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.services.node import ServedNode

Shell = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a command line (words, ``stdin``, variables) and returns what became of it."""


def shell_of(node: ServedNode, directory: Path) -> Shell:
    """Return what runs command lines in a directory; the node is found through the repo directory."""
    drop = ("BACALHAU_", "JPY_")
    env = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    env |= {"BACALHAU_DIR": str(node.repo.path)}

    def run(*words: str, stdin: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bacalhau_jupyter", *words],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=directory,
            env={**env, **extra},
            timeout=60,
            check=False,
        )

    return run
