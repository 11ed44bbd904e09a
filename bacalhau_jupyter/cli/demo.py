"""``demo``: run a notebook in a real kernel under a real Jupyter server with our extension, and show each result."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BacalhauError, ServiceUnavailable

COMPONENT = "Demo"

START_TIMEOUT_S = 60.0
CELL_TIMEOUT_S = 600.0

_JOB_RECORD = "application/vnd.bacalhau.job+json"
_FINAL = ("Completed", "Failed", "Stopped")


@click.command()
@click.argument("notebook", required=False, type=click.Path(dir_okay=False))
def demo(notebook: str | None) -> int:
    """Run NOTEBOOK (default: the quickstart) under its own Jupyter server and print its results."""
    path = (
        Path(notebook) if notebook else Path(__file__).resolve().parents[2] / "notebooks" / "quickstart.ipynb"
    )
    if not path.is_file():
        raise BacalhauError(f"{path} does not exist", hint="name a notebook: bacalhau-jupyter demo FILE")
    cells = [cell for cell in json.loads(read_text(path))["cells"] if cell["cell_type"] == "code"]
    with (
        tempfile.TemporaryDirectory(prefix="bacalhau-demo-") as runtime,
        _server(path.parent, runtime) as server,
    ):
        click.echo(f"Jupyter server with the bacalhau_jupyter extension at {server['url']}")
        failed = asyncio.run(_run(server, path, Path(runtime), cells))
    if failed:
        click.echo(f"The demo failed in the cell that starts with: {failed}", err=True)
        return 1
    click.echo("\nEvery cell ran. To open the notebook yourself: ./run lab")
    return 0


@contextlib.contextmanager
def _server(root: Path, runtime: str) -> Iterator[dict[str, Any]]:
    """Start a Jupyter server on a free loopback port and yield what its runtime file says."""
    token = secrets.token_urlsafe(16)
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": runtime, "JUPYTER_TOKEN": token}
    command = [
        sys.executable,
        "-m",
        "jupyter_server",
        "--no-browser",
        "--port=0",
        f"--ServerApp.root_dir={root}",
    ]
    if os.geteuid() == 0:
        command.append("--allow-root")
    log = Path(runtime) / "server.log"
    with log.open("wb") as out:
        child = subprocess.Popen(command, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        yield {**_wait_for_server(child, Path(runtime), log), "token": token}
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(timeout=15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_for_server(child: subprocess.Popen[bytes], runtime: Path, log: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_TIMEOUT_S
    file = runtime / f"jpserver-{child.pid}.json"
    while time.monotonic() < deadline and child.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            server_info: dict[str, Any] = json.loads(read_text(file))
            # Jupyter writes this file before it listens.
            socket.create_connection(("127.0.0.1", server_info["port"]), timeout=1).close()
            return server_info
        time.sleep(0.05)
    last = (read_text(log, errors="replace").strip().splitlines() or ["it printed nothing"])[-1]
    raise ServiceUnavailable(f"the Jupyter server did not start: {last}")


async def _run(server: dict[str, Any], path: Path, runtime: Path, cells: list[dict[str, Any]]) -> str:
    """Start a kernel through the server and run the cells in it; return the first line of the one that failed."""
    import aiohttp
    from jupyter_client.asynchronous.client import AsyncKernelClient

    headers = {"Authorization": f"token {server['token']}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        body = {"name": path.name, "path": path.name, "type": "notebook", "kernel": {"name": "python3"}}
        async with session.post(server["url"] + "api/sessions", json=body) as answer:
            started = await answer.json()
            if answer.status != 201:
                raise ServiceUnavailable(f"no kernel: {started.get('message', answer.status)}")
        kernel = started["kernel"]["id"]
        client = AsyncKernelClient(connection_file=str(runtime / f"kernel-{kernel}.json"))
        client.load_connection_file()
        # Without a heartbeat: a busy machine may start the kernel later than its patience lasts.
        client.start_channels(hb=False)
        try:
            try:
                await client.wait_for_ready(timeout=START_TIMEOUT_S)
            except RuntimeError as error:
                raise ServiceUnavailable(f"the kernel did not start: {error}") from error
            for cell in cells:
                source = "".join(cell["source"])
                if await _run_cell(client, source):
                    return source.splitlines()[0] if source else "(nothing)"
            return ""
        finally:
            client.stop_channels()
            async with session.delete(server["url"] + f"api/sessions/{started['id']}"):
                pass


async def _run_cell(client: Any, source: str) -> bool:
    shown = "\n".join(f"    {line}" for line in source.splitlines())
    click.echo(f"\n{click.style('In:', fg='blue')}\n{shown}")
    try:
        reply = await client.execute_interactive(
            source, output_hook=_show, allow_stdin=False, stop_on_error=True, timeout=CELL_TIMEOUT_S
        )
    except TimeoutError:
        click.echo(f"the cell did not end within {CELL_TIMEOUT_S:.0f} s", err=True)
        return True
    return bool(reply["content"]["status"] != "ok")


def _show(message: dict[str, Any]) -> None:
    """Print one output the way a terminal can."""
    kind, content = message["header"]["msg_type"], message["content"]
    if kind == "stream":
        click.echo(content["text"], nl=False)
    elif kind in ("display_data", "update_display_data", "execute_result"):
        record = content["data"].get(_JOB_RECORD)
        # A state line updates in place in a notebook; here only its last form is worth a line.
        if record is None or record["state"] in _FINAL or kind == "execute_result":
            click.echo(content["data"].get("text/plain", ""))
    elif kind == "error":
        click.echo("\n".join(content["traceback"]))
