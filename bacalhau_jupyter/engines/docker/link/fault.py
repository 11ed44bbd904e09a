"""What can be wrong with the way to a host: which part of the way, in one sentence, and what a person can do."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from bacalhau_jupyter.models.records.hosts import HostState

JOBS_GO_ON = "Jobs that run there go on; it is tried again and again. Is it on, and is the VPN up?"
"""The hint about a host that says nothing; who only tries a new one has no jobs there."""


class Part(enum.Enum):
    """The parts of a way, in the order in which they are passed."""

    PROGRAM = "this machine"
    NAME = "name"
    SERVER = "server"
    KEY = "host key"
    LOGIN = "login"
    SOCKET = "docker socket"
    ENGINE = "engine"


@dataclass(frozen=True)
class Fault:
    """Why a way can't be used.

    Attributes
    ----------
    state
        ``UNREACHABLE`` where it may pass by itself, ``REFUSED`` where a person has to do something.
    sentence
        One sentence that names the host. With ``silent``, it is completed by since when it is so.
    silent
        Whether the host says nothing at all.
    is_engine_off
        Whether the way leads to the host and no engine is there: its containers end with it, as a rule.
    """

    part: Part
    state: HostState
    sentence: str
    hint: str = ""
    silent: bool = False
    is_engine_off: bool = False


class WayClosed(Exception):
    """A way could not be opened, or has broken."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.sentence)
        self.fault = fault


def unreachable(
    part: Part, sentence: str, hint: str = "", *, silent: bool = False, is_engine_off: bool = False
) -> Fault:
    """Return a fault that may pass by itself."""
    return Fault(part, HostState.UNREACHABLE, sentence, hint, silent, is_engine_off)


def refused(part: Part, sentence: str, hint: str = "") -> Fault:
    """Return a fault that needs a person."""
    return Fault(part, HostState.REFUSED, sentence, hint)
