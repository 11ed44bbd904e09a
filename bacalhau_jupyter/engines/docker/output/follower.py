"""Follows one container to its end: copies its output, then says how it ended.

The end of a stream that follows a log is not the log's end: the engine may drop from it what has no newline (an
unterminated last line; of a program that ends at once, everything). So what the stream left out is read once more
when the container has ended, from the complete log.

One thread per running container, which ends with it. A daemon that goes away for a while (restart, upgrade, a link that
breaks) is waited for (`patience`); what the container printed meanwhile is read from the daemon's own log.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error, translated
from bacalhau_jupyter.engines.docker.gate import Gate
from bacalhau_jupyter.engines.docker.output.checkpoints import Checkpoint
from bacalhau_jupyter.engines.docker.output.ending import KILLED, judge
from bacalhau_jupyter.engines.docker.output.logs import BrokenStream, LogCopier, LogLost, Position
from bacalhau_jupyter.engines.docker.output.patience import Patience
from bacalhau_jupyter.engines.docker.output.streams import Stream
from bacalhau_jupyter.models.errors import BacalhauError, IOFailure, NetworkFailure, ServiceUnavailable
from bacalhau_jupyter.plugins.engine import EndReason, Outcome
from bacalhau_jupyter.plugins.logfile import STREAM_LIMIT, LogWriter
from bacalhau_jupyter.transfer.core.files import Interrupted

_log = logging.getLogger(__name__)

SETTLE_S = 2
"""Seconds between the end of a container's output and its state saying so, at most."""
JOIN_TIMEOUT_S = 5.0


class Follower:
    """Watches one container from its own thread.

    Parameters
    ----------
    container
        ID or name.
    log_path
        The execution's log file; continued where an earlier follower stopped.
    memory
        The memory limit in bytes, for the hint of an out-of-memory error; 0 when there is none.
    on_ended
        Called with this follower and the container's last state, before the outcome is known to anybody (blocking is
        fine); again after a `NetworkFailure`. It ends with `Interrupted` soon after `hurry` was set.
    log_driver
        The container's.
    gate
        The way to the daemon.

    Attributes
    ----------
    cancelled
        Set to end the container.
    hurry
        Set when `on_ended` is no longer awaited.
    inspected
        What the engine knew of the container when it was last asked; empty when the container has gone.
    outcome
        Done when the container has ended and all its output is in the log file.
    """

    def __init__(
        self,
        daemon: Daemon,
        container: str,
        log_path: Path,
        *,
        memory: int = 0,
        on_ended: Callable[[Follower, dict[str, Any]], None] = lambda follower, state: None,
        log_driver: str = "",
        log_limit: int = STREAM_LIMIT,
        gate: Gate | None = None,
    ) -> None:
        self.container = container
        self.cancelled = False
        self.hurry = threading.Event()
        self.outcome: Future[Outcome] = Future()
        self._daemon = daemon
        self._gate = gate or Gate(None)
        self._log_path = log_path
        self._memory = memory
        self._log_limit = log_limit
        self._on_ended = on_ended
        self._newlines_lost = log_driver == "local" and daemon.loses_newlines
        self.inspected: dict[str, Any] = {}
        self._stopped = threading.Event()
        self._stream: Stream | None = None
        self._guard = threading.Lock()
        self._thread = threading.Thread(
            # What it logs is about the execution that it is started for.
            target=partial(copy_context().run, self._run),
            name=f"docker-{container[:12]}",
            daemon=True,
        )

    def start(self) -> None:
        """Begin; to be called once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; the container goes on. `outcome` then holds `ServiceUnavailable`."""
        with self._guard:
            self._stopped.set()
            self.hurry.set()
            if self._stream is not None:
                self._stream.abort()
        self._gate.wake()

    def join(self) -> None:
        """Wait (bounded) until the thread has gone; blocks."""
        self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        try:
            with translated(self._daemon.endpoint):
                outcome = self._follow()
        except LogLost as error:
            self._kill()
            self.outcome.set_result(_failed(_log_lost(error)))
        except BacalhauError as error:
            self.outcome.set_result(_failed(error))
        except _StoppedError:
            self.outcome.set_exception(ServiceUnavailable("the docker engine is being closed"))
        except Exception as error:
            # The waiting caller must get any exception.
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(outcome)

    def _follow(self) -> Outcome:
        with _own_log():
            position = Position.of(self._log_path, self._log_limit)
            writer = None if position.ended else LogWriter(self._log_path, self._log_limit)
        if writer is None:
            return self._finish(self._until_ended(None, position))
        return self._finish(self._write_until_ended(writer, position))

    def _finish(self, state: dict[str, Any]) -> Outcome:
        patience, is_tidied = Patience(self._gate, self._stopped), False
        while True:
            try:
                if patience.failed:
                    self._daemon.check_reachable()
                with translated(self._daemon.endpoint):
                    if not is_tidied:
                        is_tidied = self._tidied(state)
                    return judge(
                        self._daemon, self.container, state, cancelled=self.cancelled, memory=self._memory
                    )
            except NetworkFailure as error:
                if not patience.outlast(error):
                    raise _StoppedError from error

    def _tidied(self, state: dict[str, Any]) -> bool:
        try:
            with translated(self._daemon.endpoint):
                self._on_ended(self, state)
        except Interrupted:
            if self._stopped.is_set():
                raise _StoppedError from None
        except NetworkFailure:
            raise
        except BacalhauError:
            # After a cancel, no more output is needed.
            if not self.cancelled:
                raise
        return True

    def _write_until_ended(self, writer: LogWriter, position: Position) -> dict[str, Any]:
        try:
            state = self._until_ended(
                LogCopier(writer, position, newlines_lost=self._newlines_lost), position
            )
            _end(writer)
            return state
        except BacalhauError:
            # The execution is over: readers of its log must not wait for more.
            with contextlib.suppress(LogLost):
                _end(writer)
            raise
        finally:
            writer.close()

    def _until_ended(self, copier: LogCopier | None, position: Position) -> dict[str, Any]:
        patience, last_written = Patience(self._gate, self._stopped), dict(position.written)
        while True:
            try:
                if patience.failed:
                    self._daemon.check_reachable()
                if copier is not None:
                    self._copy(copier, position.checkpoints.best(), follow=True)
                state = self._state_at_end()
                if state is not None and copier is not None:
                    self._copy_rest(copier, position)
            except (NetworkFailure, BrokenStream) as error:
                if last_written != position.written:
                    patience.renew()
                    last_written = dict(position.written)
                if not patience.outlast(error):
                    raise _StoppedError from error
            else:
                if state is not None:
                    return state
                # The daemon answers, so patience begins anew; but it must not be asked without a pause.
                if not patience.pause():
                    raise _StoppedError

    def _copy_rest(self, copier: LogCopier, position: Position) -> None:
        if not position.full:
            self._copy(copier, position.checkpoints.best(), follow=False)

    def _copy(self, copier: LogCopier, place: Checkpoint, *, follow: bool) -> None:
        from docker.errors import APIError

        query: dict[str, str | int] = {"follow": int(follow), "stdout": 1, "stderr": 1, "timestamps": 1}
        if place.since:
            query["since"] = place.since
        with translated(self._daemon.endpoint):
            try:
                opened = self._daemon.stream("GET", f"/containers/{self.container}/logs", query)
            except APIError as error:
                # The container is gone or going; its state says more than this refusal.
                if error.status_code not in (404, 409):
                    _log.warning("The output of container %s can't be read: %s", self.container, error)
                return
        with translated(self._daemon.endpoint), opened as stream:
            with self._guard:
                self._stream = stream
                if self._stopped.is_set():
                    raise _StoppedError
            try:
                copier.copy(stream.chunks(), place)
            finally:
                with self._guard:
                    self._stream = None
        if self._stopped.is_set():
            raise _StoppedError

    def _state_at_end(self) -> dict[str, Any] | None:
        """Return the container's state once it has ended; None when it goes on (its log stream was cut)."""
        from requests.exceptions import ConnectionError as RequestsConnectionError
        from requests.exceptions import Timeout

        with translated(self._daemon.endpoint):
            state = self._inspect()
            if state["Running"]:
                try:
                    self._daemon.api.wait(self.container, timeout=SETTLE_S)
                except (Timeout, RequestsConnectionError):
                    return None
                state = self._inspect()
            return None if state["Running"] else state

    def _inspect(self) -> dict[str, Any]:
        inspection = self._daemon.inspect(self.container)
        if inspection is None:
            if self.cancelled:
                return {"Running": False, "ExitCode": KILLED, "OOMKilled": False}
            raise engine_error(
                "the container was removed while it ran, by another program",
                hint="Leave containers whose name starts with `bacalhau-` to the node.",
                retryable=True,
            )
        self.inspected = inspection
        state: dict[str, Any] = inspection["State"]
        return state

    def _kill(self) -> None:
        try:
            with translated(self._daemon.endpoint):
                self._daemon.remove(self.container)
        except BacalhauError:
            # The sweep at the next start finds it by its label.
            return


class _StoppedError(Exception):
    """The node is closing; the container is left alone."""


@contextlib.contextmanager
def _own_log() -> Iterator[None]:
    """Tell an error of the execution's own log from any other `OSError`: only this one ends the container."""
    try:
        yield
    except OSError as error:
        raise LogLost from error


def _end(writer: LogWriter) -> None:
    with _own_log():
        writer.end()


def _failed(error: BacalhauError) -> Outcome:
    return Outcome(EndReason.ERROR, -1, error)


def _log_lost(error: LogLost) -> IOFailure:
    cause = error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) else str(cause)
    return IOFailure(
        f"the execution's log can't be written: {reason}",
        hint="Free disk space under the node's data directory.",
        retryable=True,
        fails_execution=True,
    )
