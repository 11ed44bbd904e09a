"""The node as a process: start, say so, wait for a reason to end, stop."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bacalhau_jupyter._version import __version__
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import NodeRunning
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.telemetry.start import telemetry_of
from bacalhau_jupyter.node import logs
from bacalhau_jupyter.node.node import Node, running_node
from bacalhau_jupyter.node.roles.devstack import StackShape, running_devstack
from bacalhau_jupyter.node.roles.stack_processes import FarNodes, running_processes
from bacalhau_jupyter.tls.settings import Encryption

log = logging.getLogger(__name__)

_M_ARENA_MAX = -8
_MOST_DESCRIPTORS = 65_536


def run_node(
    config: Config, *, embedded: bool, name: str = "", on_ready: Callable[[Node], None] = lambda node: None
) -> int:
    """Run a node until a signal ends it or, embedded, until it is no longer needed; return the exit status.

    An embedded node that finds another one running for its repo has nothing to do: that is not a failure.

    Raises
    ------
    BacalhauError
        The node can't start.
    """
    repo = Repo(config.data_dir).create()
    _set_up(config, repo.node_log if embedded else None)

    @asynccontextmanager
    async def started() -> AsyncIterator[Node]:
        async with running_node(config, embedded=embedded, name=name, telemetry=telemetry) as node:
            yield node

    telemetry = telemetry_of(os.environ, __version__)
    try:
        asyncio.run(_run(started, embedded, on_ready))
    except NodeRunning as error:
        if not embedded:
            raise
        log.info("%s", error)
    finally:
        telemetry.close()
    return 0


def run_devstack(
    config: Config,
    base: Path,
    shape: StackShape,
    *,
    keep: bool,
    on_ready: Callable[[Node], None],
    far: FarNodes | None = None,
) -> int:
    """Run a devstack until a signal ends it; return the exit status.

    Parameters
    ----------
    far
        Nodes in processes of their own, beside those of the shape; None for a stack without a link.

    Raises
    ------
    BacalhauError
        The stack can't start.
    """
    shape.check()
    if far is not None:
        far.check()
        config = far.linked(config)
    _set_up(config, None)

    @asynccontextmanager
    async def started() -> AsyncIterator[Node]:
        async with AsyncExitStack() as both:
            stack = await both.enter_async_context(
                running_devstack(config, base, shape, keep=keep, telemetry=telemetry)
            )
            if far is not None:
                await both.enter_async_context(running_processes(stack, config, base, far, keep=keep))
            yield stack.node

    telemetry = telemetry_of(os.environ, __version__)
    try:
        asyncio.run(_run(started, False, on_ready))
    finally:
        telemetry.close()
    return 0


def _set_up(config: Config, log_file: Path | None) -> None:
    _few_arenas()
    _many_descriptors()
    # What the node writes is for its user only, whatever the shell's umask says.
    os.umask(0o077)
    logs.set_up(config["Logging.Level"], config["Logging.Mode"], log_file)


async def _run(
    started: Callable[[], AbstractAsyncContextManager[Node]],
    embedded: bool,
    on_ready: Callable[[Node], None],
) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, number, ended)
    async with started() as node:
        settle_memory()
        if node.encryption is not None:
            loop.add_signal_handler(signal.SIGHUP, _on_hang_up, _has_terminal(), node.encryption, ended)
        on_ready(node)
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(ended.wait(), name="signal")]
        if embedded:
            waits.append(asyncio.create_task(node.until_superfluous(), name="leases"))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        log.info("stopping: %s", "asked to" if ended.is_set() else "this node is no longer needed")


def settle_memory() -> None:
    """Take what lives now out of garbage collection: it lives to the end, and going through it would only cost time.

    With the thousand nodes of a devstack that is half of the time that their jobs take.
    """
    gc.collect()
    gc.freeze()
    _give_back()


def _few_arenas() -> None:
    """Let all threads allocate from the same places: each further arena of glibc's keeps megabytes for itself."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def _many_descriptors() -> None:
    """Raise the limit of open files to what we may have: connections, logs and jobs all need some."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some containers have no limit at all; programs that walk through all numbers must not take minutes for it.
    limit = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= limit:
        return
    # macOS refuses what it calls unlimited.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _give_back() -> None:
    """Return what starting needed and running does not to the system (glibc keeps it otherwise)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _has_terminal() -> bool:
    """Whether there is a terminal whose end should be this process's, too."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _on_hang_up(had_terminal: bool, encryption: Encryption, ended: asyncio.Event) -> None:
    """Take up new certificates, as other servers do; the end of our own terminal still ends the node."""
    if had_terminal and not _has_terminal():
        ended.set()
    else:
        encryption.certificates.reload()


def _on_signal(number: int, ended: asyncio.Event) -> None:
    if ended.is_set():
        # Asked twice: the user does not want to wait for a graceful end.
        with contextlib.suppress(ProcessLookupError):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
    ended.set()
