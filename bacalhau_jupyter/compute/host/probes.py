"""Bid decisions by a command or a URL that gets the job."""

from __future__ import annotations

import json
import os

from bacalhau_jupyter.compute.settings import AdmissionSettings
from bacalhau_jupyter.lib.programs.calls import call
from bacalhau_jupyter.models.codec import Wire, always, encode
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.job import Job

COMPONENT = "ProbeExec"

PROBE_S = 30.0
"""How long a probe may take."""

_REASON_LIMIT = 2000


_ANSWER_LIMIT = 64 * 1024
_SHAPE = '{"ShouldBid": true or false, "Reason": text}'


class ProbeData(Wire):
    """What a probe gets: the official document, so that probes written for official nodes work here."""

    job: Job = always(Job())


async def ask_probes(settings: AdmissionSettings, job: Job) -> list[str]:
    """Return the objections of the configured probes.

    Raises
    ------
    EngineError
        A probe could not be asked or took too long.
    """
    if not settings.probe_exec and not settings.probe_http:
        return []
    data = encode(ProbeData(job=job))
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
        probe = await call(["bash", "-c", command], env, timeout_s=PROBE_S, stdin=data)
    except TimeoutError as error:
        raise EngineError(f"the job selection probe took longer than {PROBE_S:g}s") from error
    except OSError as error:
        raise EngineError(f"the job selection probe could not be run: {error}") from error
    if probe.status == 0:
        return ""
    reason = probe.stderr.strip()[:_REASON_LIMIT]
    return f"this node does not accept the job: {reason or f'its probe exited with {probe.status}'}"


async def _ask_url(url: str, data: bytes) -> str:
    import aiohttp

    try:
        limits = aiohttp.ClientTimeout(total=PROBE_S)
        async with (
            aiohttp.ClientSession(timeout=limits) as session,
            session.post(url, data=data, headers={"Content-Type": "application/json"}) as response,
        ):
            body = await response.content.read(_ANSWER_LIMIT + 1)
            while len(body) <= _ANSWER_LIMIT and (more := await response.content.read(_ANSWER_LIMIT)):
                body += more
            status, kind = response.status, response.content_type
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise EngineError(
            f"the job selection probe could not be reached: {error}", component="ProbeHTTP"
        ) from error
    if status >= 400:
        return f"this node does not accept the job: its probe answered HTTP {status}"
    # Without a Content-Type header aiohttp says application/octet-stream: only what claims to be JSON is read.
    return _objection(body) if kind == "application/json" else ""


def _objection(body: bytes) -> str:
    """Return the objection in a probe's JSON answer; empty where it accepts the job.

    Raises
    ------
    EngineError
        The answer is not of the documented form. What a probe meant is not guessed: the job is not accepted.
    """
    try:
        answer = json.loads(body) if len(body) <= _ANSWER_LIMIT else None
    except (ValueError, RecursionError):
        answer = None
    members = {str(name).lower(): value for name, value in answer.items()} if isinstance(answer, dict) else {}
    should_bid, reason = members.get("shouldbid"), members.get("reason") or ""
    if not isinstance(should_bid, bool) or not isinstance(reason, str):
        raise EngineError(
            f"the job selection probe answered with JSON that is not {_SHAPE}", component="ProbeHTTP"
        )
    if should_bid:
        return ""
    return (
        f"this node does not accept the job: {reason.strip()[:_REASON_LIMIT] or 'its probe rejected the job'}"
    )
