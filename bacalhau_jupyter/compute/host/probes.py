"""Bid decisions by a command or a URL that gets the job."""

from __future__ import annotations

import asyncio
import contextlib
import os

from bacalhau_jupyter.compute.settings import AdmissionSettings
from bacalhau_jupyter.models.codec import Wire, always, decode, encode
from bacalhau_jupyter.models.errors import BacalhauError, EngineError
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.job import Job

COMPONENT = "ProbeExec"

PROBE_S = 30.0
"""How long a probe may take."""

_REASON_LIMIT = 2000


class ProbeData(Wire, rename=None):
    """What a probe is shown (lower-case names, as upstream sends them)."""

    node_id: str = always("")
    job_id: str = always("")
    execution_id: str = always("")
    job: Job = always(Job())


class _ProbeAnswer(Wire):
    should_bid: bool = True
    reason: str = ""


async def ask_probes(settings: AdmissionSettings, job: Job, execution: Execution) -> list[str]:
    """Return the objections of the configured probes.

    Raises
    ------
    EngineError
        A probe could not be asked or took too long.
    """
    if not settings.probe_exec and not settings.probe_http:
        return []
    data = encode(ProbeData(node_id=execution.node_id, job_id=job.id, execution_id=execution.id, job=job))
    reasons = []
    if settings.probe_exec:
        reasons.append(await _ask_command(settings.probe_exec, data))
    if settings.probe_http:
        reasons.append(await _ask_url(settings.probe_http, data))
    return [reason for reason in reasons if reason]


async def _ask_command(command: str, data: bytes) -> str:
    env = {"PATH": os.environ.get("PATH", os.defpath)}
    # A variable may hold 128 KiB at most; stdin always has the whole.
    if len(data) < 100_000:
        env["BACALHAU_JOB_SELECTION_PROBE_DATA"] = data.decode()
    try:
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            command,
            env=env,
            start_new_session=True,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise EngineError(f"the job selection probe could not be run: {error}") from error
    try:
        async with asyncio.timeout(PROBE_S):
            _, stderr = await process.communicate(data)
    except TimeoutError as error:
        raise EngineError(f"the job selection probe took longer than {PROBE_S:g}s") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
    if process.returncode == 0:
        return ""
    reason = stderr.decode(errors="replace").strip()[:_REASON_LIMIT]
    return f"this node does not accept the job: {reason or f'its probe exited with {process.returncode}'}"


async def _ask_url(url: str, data: bytes) -> str:
    import aiohttp

    try:
        timeout = aiohttp.ClientTimeout(total=PROBE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=data, headers={"Content-Type": "application/json"}) as response,
        ):
            body = await response.content.read(64 * 1024)
            status = response.status
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise EngineError(
            f"the job selection probe could not be reached: {error}", component="ProbeHTTP"
        ) from error
    if status >= 400:
        return f"this node does not accept the job: its probe answered HTTP {status}"
    try:
        answer = decode(body, _ProbeAnswer)
    except BacalhauError:
        return ""
    return (
        ""
        if answer.should_bid
        else f"this node does not accept the job: {answer.reason or 'its probe rejected the job'}"
    )
