"""Limits on failed logins: tries are counted per caller, and refused before they are checked."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.errors import BacalhauError

GUESSES, GUESS_WINDOW_S = 20, 60
"""Wrong keys or signatures that one caller may send in that many seconds."""
_CALLERS = 1000
"""Callers that are remembered; with more, the one that failed longest ago is forgotten."""


class TooManyGuesses(BacalhauError):
    """The caller was wrong too often; what it sends is not looked at for a while.

    Parameters
    ----------
    wait_s
        Seconds until the next try.
    """

    default_code = "TooManyRequests"
    default_status = 429

    def __init__(self, wait_s: int, component: str) -> None:
        super().__init__(f"too many failed logins; try again in {wait_s} s", component=component)
        self.wait_s = wait_s


class GuessLimit:
    """Counts wrong tries per caller and, where wanted, in all. Its memory is bounded.

    Parameters
    ----------
    clock
        Ends the window.
    guesses
        Wrong tries of one caller per `GUESS_WINDOW_S`.
    in_all
        Wrong tries of all callers together; 0 means no such limit (then no caller can lock out another).
    """

    def __init__(self, clock: Clock, guesses: int = GUESSES, in_all: int = 0) -> None:
        self._clock = clock
        self._guesses = guesses
        self._in_all = in_all
        self._by_caller: OrderedDict[str, deque[int]] = OrderedDict()
        self._all: deque[int] = deque(maxlen=in_all or 1)
        self._held: dict[str, Counter[str]] = {}

    def check(self, caller: str, component: str) -> None:
        """Raise `TooManyGuesses` where this caller must wait."""
        wait_s = self.wait_s(caller)
        if wait_s:
            raise TooManyGuesses(wait_s, component)

    @contextmanager
    def trying(self, caller: str, attempt: str, component: str) -> Iterator[None]:
        """Hold a try that takes a while; different ones that are still looked at count as if they were wrong.

        Raises
        ------
        TooManyGuesses
            This caller must wait; nothing is held.
        """
        self.check(caller, component)
        held = self._held.setdefault(caller, Counter())
        # The same one any number of times is one guess.
        if attempt not in held and len(held) + len(self._by_caller.get(caller, ())) >= self._guesses:
            raise TooManyGuesses(1, component)
        held[attempt] += 1
        try:
            yield
        finally:
            held[attempt] -= 1
            if not held[attempt]:
                del held[attempt]
            if not held:
                self._held.pop(caller, None)

    def wait_s(self, caller: str) -> int:
        """Return the seconds that this caller must wait before its next try; 0 when it need not."""
        times = self._by_caller.get(caller)
        wait_s = 0 if times is None else self._wait(times, self._guesses)
        return max(wait_s, self._wait(self._all, self._in_all)) if self._in_all else wait_s

    def failed(self, caller: str) -> None:
        """Count a wrong try."""
        now = self._clock.monotonic_ns()
        self._by_caller.setdefault(caller, deque(maxlen=self._guesses)).append(now)
        self._by_caller.move_to_end(caller)
        while len(self._by_caller) > _CALLERS:
            self._by_caller.popitem(last=False)
        if self._in_all:
            self._all.append(now)

    def _wait(self, times: deque[int], most: int) -> int:
        now = self._clock.monotonic_ns()
        while times and now - times[0] > GUESS_WINDOW_S * SECOND:
            times.popleft()
        if len(times) < most:
            return 0
        return int((times[0] + GUESS_WINDOW_S * SECOND - now) // SECOND) + 1
