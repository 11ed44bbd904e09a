"""A real JupyterLab as a process of its own, under a base URL as a hub gives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.common import accepts_connections, wait_until

BASE_URL = "/user/x/"
TOKEN = "token-of-the-browser-tests"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0


@dataclass
class LabServer:
    """A Jupyter server that has said where it listens."""

    process: subprocess.Popen[bytes]
    url: str
    root: Path
    output: Path

    def page(self, path: str = "lab") -> str:
        """Return the address of a page, with the token that logs in."""
        return f"{self.url}{path}?token={TOKEN}"

    def stop(self) -> None:
        """End the server; safe to call twice."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(STOP_TIMEOUT_S)

    def ask(self, method: str, path: str) -> Any:
        """Ask Jupyter's own API."""
        request = urllib.request.Request(
            f"{self.url}api/{path}", method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def await_connected_kernel(self) -> None:
        """Wait until a page is connected to an idle kernel.

        A cell that is run before may be dropped, or answered by a dialog that asks which kernel to use.
        """
        assert wait_until(self._is_connected, timeout_s=60), self.tail()

    def _is_connected(self) -> bool:
        try:
            kernels = self.ask("GET", "kernels")
        except urllib.error.HTTPError:
            # Jupyter's answer while a kernel is being started may be a 500.
            return False
        return any(kernel["execution_state"] == "idle" and kernel["connections"] > 0 for kernel in kernels)

    def tail(self, lines: int = 30) -> str:
        """Return the last lines that it printed."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])


def start_lab(
    directory: Path,
    *,
    repo: Path | None = None,
    port: int = 0,
    extension: bool = True,
    application: str = "jupyterlab",
    options: Sequence[str] = (),
) -> LabServer:
    """Start Jupyter with configuration, data and runtime directories of its own, and wait until it listens.

    Parameters
    ----------
    directory
        For all that it writes; ``root`` below it holds the notebooks.
    repo
        Repo directory of the node that the extension uses; default: one below ``directory``.
    port
        0 takes any.
    extension
        Whether the server half is enabled.
    application
        ``jupyterlab``, or ``notebook`` for Notebook 7.
    options
        Further arguments.

    Raises
    ------
    AssertionError
        It did not come up in time; its last lines are in the text.
    """
    root, runtime, output = directory / "root", directory / "runtime", directory / "jupyter.out"
    for path in (root, runtime, directory / "config", directory / "data"):
        path.mkdir(parents=True, exist_ok=True)
    settings = directory / "data" / "lab" / "settings"
    settings.mkdir(parents=True, exist_ok=True)
    # No question about news, no check for updates: nothing may lie over the page or leave the machine.
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (settings / "overrides.json").write_text(json.dumps(quiet))
    command = [
        sys.executable,
        "-m",
        application,
        "--no-browser",
        f"--ServerApp.base_url={BASE_URL}",
        f"--port={port}",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={root}",
        "--ServerApp.ip=127.0.0.1",
        f"--LabApp.app_settings_dir={settings}",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        f'--ServerApp.jpserver_extensions={{"bacalhau_jupyter": {extension}, "{application}": True}}',
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        *options,
    ]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("BACALHAU_", "JUPYTER", "JPY_"))}
    environment = {
        **kept,
        "HOME": str(directory),
        "JUPYTER_CONFIG_DIR": str(directory / "config"),
        "JUPYTER_DATA_DIR": str(directory / "data"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "BACALHAU_DIR": str(repo or directory / "repo"),
    }
    with output.open("ab") as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )
    record = runtime / f"jpserver-{process.pid}.json"
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if record.exists() and (text := record.read_text()):
            started = json.loads(text)
            # Jupyter writes this file before it listens.
            if accepts_connections("127.0.0.1", started["port"]):
                return LabServer(process, started["url"], root, output)
        time.sleep(0.05)
    process.kill()
    process.wait(STOP_TIMEOUT_S)
    raise AssertionError(f"Jupyter did not start: {output.read_text(errors='replace')[-3000:]}")
