"""The official policies, their engine, and a signing key: what tests of policies compare with.

The policies come from the official Go module and stay in Go's own cache; nothing of them is kept here.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.services.common import ServiceUnavailableError
from tests.services.go_build import built_here

MODULE = "github.com/bacalhau-project/bacalhau@v1.9.3"
OPA = "github.com/open-policy-agent/opa"
OPA_VERSION = "1.19.0"
DOWNLOAD_TIMEOUT_S = 600.0
ANSWER_TIMEOUT_S = 60.0


@functools.cache
def official_policies() -> dict[str, Path]:
    """Return the policies of the official source by file name.

    Raises
    ------
    ServiceUnavailableError
        Go is not installed, or the module can't be had.
    """
    go = shutil.which("go", path=os.environ.get("PATH", "") + ":/usr/local/go/bin")
    if go is None:
        raise ServiceUnavailableError("the official policies can't be had: `go` is not installed")
    with tempfile.TemporaryDirectory() as directory:
        try:
            done = subprocess.run(
                [go, "mod", "download", "-json", MODULE],
                cwd=directory,
                capture_output=True,
                text=True,
                timeout=DOWNLOAD_TIMEOUT_S,
                check=True,
            )
        except (subprocess.SubprocessError, OSError) as error:
            raise ServiceUnavailableError(f"the official policies can't be had: {error}") from error
    source = Path(json.loads(done.stdout)["Dir"])
    return {path.name: path for path in sorted(source.rglob("*.rego"))}


def opa_program() -> Path:
    """Return a program that is `opa` when it has arguments, and the oracle's engine without; built on first use.

    Raises
    ------
    ServiceUnavailableError
        Go is not installed, or the build failed.
    """
    source = Path(__file__).parent / "rego" / "main.go"
    return built_here(source, module=OPA, version=OPA_VERSION)


class Oracle:
    """The engine of official nodes, with their one function of their own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([opa_program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, modules: Mapping[str, str], rule: str, document: object) -> dict[str, Any]:
        """Return ``value``, ``undefined`` or ``error``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        question: dict[str, object] = {"modules": modules, "rule": rule}
        if document is not None:
            question["input"] = document
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(ANSWER_TIMEOUT_S)
        self._process.stdout.close()
