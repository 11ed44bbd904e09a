"""What the authorization policy says about one request; whatever goes wrong means no."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from bacalhau_jupyter.auth.policies.engine import UNDEFINED, Engine, PolicyFailed
from bacalhau_jupyter.auth.policies.hosting import DECISION, VALID
from bacalhau_jupyter.auth.policies.requests import HttpRequest
from bacalhau_jupyter.auth.policies.tokens import TokenKey
from bacalhau_jupyter.lib.clock import SECOND, Clock

log = logging.getLogger(__name__)

_QUIET_S = 10


@dataclass(frozen=True)
class Verdict:
    """What a policy says.

    Attributes
    ----------
    approved
        Whether the request may be carried out.
    token_valid
        Whether its token is good for other requests.
    """

    approved: bool = False
    token_valid: bool = False


class Complaints:
    """Writes what is wrong with a policy to the log, the same sentence at most every ten seconds."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._last: dict[str, int] = {}

    def write(self, sentence: str) -> None:
        """Log a sentence; it must name nothing that a caller sent."""
        now = self._clock.monotonic_ns()
        last = self._last.get(sentence)
        if last is None or now - last > _QUIET_S * SECOND:
            self._last = {**dict(list(self._last.items())[-20:]), sentence: now}
            log.warning("policy %s failed and approves nothing: %s", self._path, sentence)


class AccessPolicy:
    """Asks the authorization policy.

    Parameters
    ----------
    engine
        Evaluates it.
    key
        What tokens are signed with.
    complaints
        Where failures are told.
    """

    def __init__(self, engine: Engine, key: TokenKey, complaints: Complaints) -> None:
        self._engine = engine
        self._constraints = key.constraints()
        self._complaints = complaints

    async def verdict(self, request: HttpRequest) -> Verdict:
        """Return what the policy says about a request."""
        document = {"http": request.to_plain(), "constraints": self._constraints}
        answer = await self._ask(DECISION, document)
        if answer is None:
            # Two rules may contradict each other about the request, and agree about the token.
            valid = await self._ask(VALID, document)
            return Verdict(False, valid is not None and valid.get("token_valid") is True)
        for rule in ("allow", "token_valid"):
            kind = answer.get(f"{rule}_type", "boolean")
            if kind != "boolean":
                self._complaints.write(f"bacalhau.authz.{rule} is of type {kind}, not boolean")
                return Verdict()
        return Verdict(answer.get("allow") is True, answer.get("token_valid") is True)

    async def _ask(self, rule: str, document: object) -> dict[str, object] | None:
        try:
            answer = await self._engine.ask(rule, document)
        except PolicyFailed as error:
            self._complaints.write(error.message)
            return None
        if answer is UNDEFINED:
            return {}
        return answer if isinstance(answer, dict) else None
