"""One line of the audit log: who did what to what, with what outcome. Never what was sent with it."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.auth.forwarding import is_forwarded
from bacalhau_jupyter.auth.sockets import Caller
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.text import readable

LONGEST_NAME = 200
"""Characters of a name that somebody chose: what comes in must not fill the log."""

NOBODY = "unknown"
"""Stands for who gave no valid credential."""


class Outcome(enum.StrEnum):
    """How a request ended."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    BROKEN_OFF = "broken off"


class Origin(enum.StrEnum):
    """From where a request came, as far as its connection tells."""

    OWN_USER = "own user"
    MACHINE = "this machine"
    NETWORK = "network"
    PROXY = "proxy"
    PAGE = "web page"


@dataclass(frozen=True)
class Subject:
    """What a request is about.

    Attributes
    ----------
    kind
        ``job``, ``node``, ``upload`` and so on.
    id, name
        Which one, as far as that is known; others may have chosen both.
    """

    kind: str
    id: str = ""
    name: str = ""


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes
    ----------
    request
        The ID that its answer carried.
    verb
        What was asked for, such as ``submit``.
    code
        That of the error.
    needs
        The capability that was missing.
    caller
        By whom the connection is limited: an OS user, or an address.
    repeated
        How many lines like this one were left out before it.
    """

    time_ns: int
    request: str
    principal: str
    verb: str
    subject: Subject
    outcome: Outcome
    status: int
    origin: Origin
    caller: str
    code: str = ""
    needs: str = ""
    repeated: int = 0

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON shows it; what is empty is left out."""
        members = {
            "time": rfc3339(self.time_ns),
            "principal": _shown(self.principal),
            "verb": self.verb,
            "object": self.subject.kind,
            "id": _shown(self.subject.id),
            "name": _shown(self.subject.name),
            "outcome": self.outcome.value,
            "status": self.status,
            "code": self.code,
            "needs": self.needs,
            "from": self.origin.value,
            "caller": _shown(self.caller),
            "request": self.request,
            "repeated": self.repeated,
        }
        return {name: value for name, value in members.items() if value not in ("", 0)}

    def to_line(self) -> bytes:
        """Return it as a line of ASCII."""
        return json.dumps(self.to_plain()).encode() + b"\n"

    def __str__(self) -> str:
        which = _shown(self.subject.id or self.subject.name)
        what = " ".join(word for word in (self.subject.kind, which) if word)
        why = f" ({self.needs or self.code})" if self.needs or self.code else ""
        return f"{_shown(self.principal)}: {self.verb} {what}: {self.outcome.value}{why}"


def origin_of(caller: Caller, headers: Mapping[str, str]) -> Origin:
    """Tell from where a request came."""
    if is_forwarded(headers):
        return Origin.PROXY
    if caller.is_own_user:
        return Origin.OWN_USER
    if caller.is_of_this_machine:
        return Origin.MACHINE
    return Origin.NETWORK


def _shown(text: str) -> str:
    text = text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
    return readable(text)
