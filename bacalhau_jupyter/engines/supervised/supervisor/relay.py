"""What a program prints: from its pipes into the log of its execution."""

from __future__ import annotations

import errno
import os
import select

from bacalhau_jupyter.engines.supervised.supervisor import advice
from bacalhau_jupyter.engines.supervised.supervisor.frames import MAX_PAYLOAD, STDERR, STDOUT, Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan


class Relay:
    """The two streams of one program.

    Parameters
    ----------
    failed
        Called with a sentence, once or more often, when the log can't be written; what comes then is lost.
    """

    def __init__(self, plan: Plan, failed: Callable[[str], None]) -> None:
        self.log = Log(plan["out"], plan["log_limit"])
        self._advice = plan["advice"]
        self._failed = failed
        self._streams: dict[int, int] = {}
        self._poll: select.poll | None = None
        self._tail = b""

    @property
    def is_open(self) -> bool:
        """Whether a stream has not ended."""
        return bool(self._streams)

    def begin(self, out: int, err: int) -> None:
        """Take the reading ends of both pipes, which don't block."""
        self._streams = {out: STDOUT, err: STDERR}

    def watch(self, poll: select.poll) -> None:
        """Have a poll object tell when there is something to read."""
        self._poll = poll
        for stream in self._streams:
            poll.register(stream, select.POLLIN)

    def has(self, descriptor: int) -> bool:
        """Whether a descriptor is that of a stream."""
        return descriptor in self._streams

    def pass_on(self, stream: int) -> bool:
        """Pass on one chunk; False when the stream has ended or has nothing now."""
        try:
            data = os.read(stream, MAX_PAYLOAD)
        except BlockingIOError:
            return False
        if not data:
            self._forget(stream)
            return False
        try:
            self.log.write(self._streams[stream], data)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            problem = "no space left on the disk that holds it" if full else (error.strerror or str(error))
            self._failed(f"the execution's log could not be written: {problem}")
        if self._advice and self._streams[stream] == STDERR:
            self._tail = (self._tail + data)[-advice.TAIL :]
        return True

    def drain(self) -> None:
        """Pass on what the pipes hold, and close them: nobody writes any more."""
        for stream in list(self._streams):
            while self.pass_on(stream):
                pass
            if stream in self._streams:
                self._forget(stream)

    def end(self, last_words: bytes, *, has_failed: bool) -> None:
        """End the log: with what we say ourselves, and with advice where the program failed and that helps.

        Raises
        ------
        OSError
            The disk is full; the node ends the log when it reads the record.
        """
        self.log.write(STDERR, last_words)
        if has_failed and advice.helps(self._tail):
            self.log.write(STDERR, self._advice.encode() + b"\n")
        self.log.end()

    def _forget(self, stream: int) -> None:
        if self._poll is not None:
            self._poll.unregister(stream)
        os.close(stream)
        del self._streams[stream]
