"""Programs that are asked something: started, given their input, and ended where they take too long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
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
    """Run a program to its end; it and what it has started are gone afterwards, also where it did not end itself.

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
        await end(process, is_group=True)
    return Done(status, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


async def end(process: asyncio.subprocess.Process, grace_s: float = 0.0, *, is_group: bool = False) -> None:
    """End a process: asked first where it has time, then killed. It is gone afterwards, also where we are cancelled.

    Whoever stops reading what a process prints has to end it by this: when more is printed than asyncio keeps for a
    reader, it stops reading the pipe, never sees its end, and then ``process.wait()`` never returns.

    Parameters
    ----------
    is_group
        It leads a process group, which is killed with it; also where it has ended, and the others hold its pipes.
    """
    try:
        if process.returncode is None and grace_s:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await exited(process)
    finally:
        pipes = _open_pipes(process)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if is_group and (process.returncode is None or pipes):
                os.killpg(process.pid, signal.SIGKILL)
            elif process.returncode is None:
                process.kill()
        # What it has started may still hold its pipes, too; asyncio would wait for their end. And the transport's own
        # `close` may take the exit status away from the one who waits for it.
        for pipe in pipes:
            if isinstance(pipe, asyncio.WriteTransport):
                pipe.abort()
            else:
                pipe.close()
        await asyncio.shield(process.wait())


async def exited(process: asyncio.subprocess.Process) -> int:
    """Wait until a process has ended, and return its exit status.

    What it has started may live on and hold its pipes: ``process.wait()`` waits for their end, too.
    """
    if process.returncode is None:
        has_exited = asyncio.get_running_loop().create_future()
        protocol: asyncio.SubprocessProtocol = process._protocol  # type: ignore[attr-defined]
        before = protocol.process_exited

        def hear() -> None:
            before()
            if not has_exited.done():
                has_exited.set_result(None)

        protocol.process_exited = hear  # type: ignore[method-assign]
        await has_exited
    assert process.returncode is not None, "asyncio sets it before it says so"
    return process.returncode


def _open_pipes(process: asyncio.subprocess.Process) -> list[asyncio.BaseTransport]:
    transport: asyncio.SubprocessTransport = process._transport  # type: ignore[attr-defined]
    pipes = (transport.get_pipe_transport(number) for number in range(3))
    return [pipe for pipe in pipes if pipe is not None and not pipe.is_closing()]


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
