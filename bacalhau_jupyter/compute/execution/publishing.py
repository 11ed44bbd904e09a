"""Publishing a task's results: temporary errors are retried, after a lasting one the results stay on the node."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from bacalhau_jupyter.compute.execution.events import Published, Unpublished
from bacalhau_jupyter.compute.execution.record import Fault
from bacalhau_jupyter.compute.files import as_bacalhau_error
from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.models.errors import (
    BacalhauError,
    EngineError,
    NetworkFailure,
    ServiceUnavailable,
    TimedOut,
)
from bacalhau_jupyter.models.records.history import Topic
from bacalhau_jupyter.plugins.publisher import Publisher, PublishRequest

_log = logging.getLogger(__name__)

_KEEPER = "local"
_PASSING = (NetworkFailure, TimedOut, ServiceUnavailable)


async def publish(
    publishers: Callable[[str], Publisher | None],
    kind: str,
    request: PublishRequest,
    delays: Sequence[float],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Published | Unpublished:
    """Publish a result; where that can't be done, keep it on this node.

    The task is over and its work is done: whatever goes wrong here must not make it run again.

    Parameters
    ----------
    publishers
        Finds a publisher by its type.
    kind
        The one that the job names.
    delays
        Seconds to wait before each further try, after trouble that may pass.
    """
    try:
        return await _tried(publishers, kind, request, delays, sleep)
    except Exception as error:
        failure = as_bacalhau_error(error, "publishing results")
        _log.warning("execution %s: %s", request.execution.id, failure, exc_info=failure is not error)
    kept = None
    if kind.strip().lower() != _KEEPER:
        try:
            kept = (await _tried(publishers, _KEEPER, request, (), sleep)).result
        except Exception as error:
            _log.warning("the results of execution %s can't be kept here: %s", request.execution.id, error)
    return Unpublished(
        Fault.of(_final(failure, kept=kept is not None), Topic.PUBLISHING),
        kept,
        tuple(map(str, request.left_out)),
    )


async def _tried(
    publishers: Callable[[str], Publisher | None],
    kind: str,
    request: PublishRequest,
    delays: Sequence[float],
    sleep: Callable[[float], Awaitable[object]],
) -> Published:
    publisher = publishers(kind)
    if publisher is None:
        raise EngineError(f"this node does not support {kind}")
    for delay_s in (*delays, None):
        try:
            result = await publisher.publish(request)
            return Published(result, tuple(map(str, request.left_out)))
        except Exception as error:
            failure = as_bacalhau_error(error, "publishing results")
            # A full disk does not become empty by waiting: the results themselves fill it.
            if delay_s is None or is_full(error) or not (failure.retryable or isinstance(failure, _PASSING)):
                raise
            _log.info("execution %s is published again in %g s: %s", request.execution.id, delay_s, failure)
        await sleep(delay_s)
    raise AssertionError("unreachable")


def _final(error: BacalhauError, *, kept: bool) -> BacalhauError:
    """Return the error that ends the job, with what became of its results."""
    words = (
        error.message
        if "publish" in error.message
        else f"the results could not be published: {error.message}"
    )
    hint = error.hint
    if kept:
        words += "; they are kept on the node that ran it"
        hint = f"{hint.rstrip('.')}; " if hint else ""
        hint += "`job get` fetches what was kept"
    return BacalhauError(
        words,
        hint=hint,
        code=error.code,
        component=error.component,
        fails_execution=True,
        fails_job=True,
        details=error.details,
    )
