"""Programs that are asked something: started, given their input, and ended where they take too long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_BYTES = 1 << 20
"""Of what a program prints; the rest is not read."""


@dataclass(frozen=True)
class Done:
    """What became of a program; ``status`` is negative where a signal ended it."""

    status: int
    stdout: str
    stderr: str


async def call(
    command: Sequence[str], env: Mapping[str, str], *, timeout_s: float, stdin: bytes = b""
) -> Done:
    """Run a program to its end; it is gone afterwards, whatever happens.

    Raises
    ------
    FileNotFoundError, PermissionError
        It can't be started.
    TimeoutError
        It took longer than ``timeout_s``.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=env,
        # Without a terminal, nothing can ask for a password there.
        start_new_session=True,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr, _ = await asyncio.gather(
                _read(process.stdout), _read(process.stderr), _write(process.stdin, stdin)
            )
            status = await process.wait()
    finally:
        await end(process)
    return Done(status, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


async def end(process: asyncio.subprocess.Process, grace_s: float = 0.0) -> None:
    """End a process: asked first where it has time, then killed. It is gone afterwards, also where we are cancelled."""
    if process.returncode is None and grace_s:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await process.wait()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    # What it has started may still hold its pipes; asyncio would wait for their end.
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]
    transport.close()
    await asyncio.shield(process.wait())


async def _read(stream: asyncio.StreamReader | None) -> bytes:
    assert stream is not None, "it was started with a pipe"
    data = bytearray()
    while piece := await stream.read(65536):
        data += piece[: max(0, MOST_BYTES - len(data))]
    return bytes(data)


async def _write(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    assert stream is not None, "it was started with a pipe"
    with contextlib.suppress(ConnectionError):
        stream.write(data)
        await stream.drain()
    stream.close()
    with contextlib.suppress(ConnectionError):
        await stream.wait_closed()
