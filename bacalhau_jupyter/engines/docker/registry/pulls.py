"""Pulls in progress: one per image, however many executions wait for it.

The Docker Engine sends nothing at all until the registry has answered, and such a call can't be interrupted.
So a pull has its own thread, and each waiting execution can stop waiting at any time; when none waits
any more, the pull is ended as soon as that is possible.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from bacalhau_jupyter.engines.docker.daemon import engine_error
from bacalhau_jupyter.engines.docker.output.streams import Stream
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import Progress

Work = Callable[["Pull"], None]
"""Does the pull: names its stream with `Pull.attach`, tells `Pull.report`, and raises what goes wrong."""


class Abort:
    """One thread's wish that another end what it does for an execution."""

    def __init__(self) -> None:
        self.requested = False
        self._wake: Callable[[], None] | None = None

    def on_request(self, wake: Callable[[], None]) -> None:
        """Name what wakes the one who waits."""
        self._wake = wake

    def check(self) -> None:
        """Raise when the end was asked for.

        Raises
        ------
        EngineError
            With code ``RequestCancelled``.
        """
        if self.requested:
            raise engine_error("the execution was cancelled while it started", code="RequestCancelled")

    def __call__(self) -> None:
        """Ask for the end."""
        self.requested = True
        if (wake := self._wake) is not None:
            wake()


class Pull:
    """One image being pulled.

    Parameters
    ----------
    work
        Runs in its own thread.
    """

    def __init__(self, image: str, work: Work) -> None:
        self._changed = threading.Condition()
        self._error: Exception | None = None
        self._figures: tuple[int, int | None, int | None, int | None] = (0, None, None, None)
        self._finished = False
        self._stream: Stream | None = None
        self._unwanted = False
        self.waiting = 0
        self._thread = threading.Thread(
            target=self._run, args=(work,), name=f"docker-pull-{image}", daemon=True
        )

    def start(self) -> None:
        """Begin; to be called once."""
        self._thread.start()

    def attach(self, stream: Stream) -> None:
        """Name the stream that ends the pull when it is cut."""
        with self._changed:
            self._stream = stream
            if self._unwanted:
                stream.abort()

    def report(self, done: int, total: int, files: int | None = None, files_total: int | None = None) -> None:
        """Tell everybody who waits how far it is, in bytes, and in layers where they are counted."""
        with self._changed:
            self._figures = (done, total, files, files_total)
            self._changed.notify_all()

    def end(self) -> None:
        """Stop the pull: no execution waits for it any more."""
        with self._changed:
            self._unwanted = True
            if self._stream is not None:
                self._stream.abort()

    def wait(self, phase: str, progress: Progress, abort: Abort) -> None:
        """Wait for the image.

        Raises
        ------
        Exception
            Whatever the work raised; `EngineError` when aborted.
        """
        abort.on_request(self._wake)
        reported: tuple[int, int | None, int | None, int | None] | None = None
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._finished or abort.requested or self._figures != reported  # noqa: B023  (used at once)
                )
                reported, finished = self._figures, self._finished
            abort.check()
            progress(Reading(phase, *reported))
            if finished:
                break
        if self._error is not None:
            raise self._error

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _run(self, work: Work) -> None:
        error: Exception | None = None
        try:
            work(self)
        except Exception as raised:
            error = raised
        with self._changed:
            self._error, self._finished = error, True
            self._changed.notify_all()


class Pulls:
    """Shares pulls between executions; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Pull] = {}

    def pull(self, image: str, work: Work, phase: str, progress: Progress, abort: Abort) -> None:
        """Wait until ``work`` has brought ``image``, starting it unless it runs already.

        Raises
        ------
        Exception
            Whatever the work raised; `EngineError` when aborted.
        """
        with self._lock:
            pull = self._running.get(image)
            if pull is None:
                pull = self._running[image] = Pull(image, work)
                pull.start()
            pull.waiting += 1
        try:
            pull.wait(phase, progress, abort)
        finally:
            with self._lock:
                pull.waiting -= 1
                if not pull.waiting:
                    del self._running[image]
                    pull.end()
