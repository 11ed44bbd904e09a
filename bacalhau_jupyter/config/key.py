"""What a config key is: its name, kind and default, its meaning, and what this version does with it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


class Kind(enum.Enum):
    """What a value is, and what Python gets to see."""

    TEXT = "text"
    FLAG = "true or false"
    INTEGER = "whole number"
    PORT = "port number"
    DURATION = "duration such as 30s or 1h30m"  # seconds, float
    SIZE = "size such as 512mb or 1Gi"  # bytes, int
    LIST = "comma-separated list"  # list[str]
    MAP = "list of key=value"  # dict[str, str]
    TREE = "mapping (JSON or YAML)"  # dict[str, Any]
    RECORDS = "list of mappings (JSON or YAML)"  # list[dict[str, Any]]


class Treatment(enum.Enum):
    """What this version does with a key that is set."""

    HONOURED = "honoured"
    REFUSED = "refused"
    IGNORED = "ignored"


@dataclass(frozen=True)
class Standing:
    """What this version does with a key, and, unless the key is honoured, why."""

    treatment: Treatment
    reason: str = ""


HONOURED = Standing(Treatment.HONOURED)


def refused(reason: str) -> Standing:
    """Let a node refuse to start while the key differs from its default."""
    return Standing(Treatment.REFUSED, reason)


def ignored(reason: str) -> Standing:
    """Accept the key without any effect; never for a security setting."""
    return Standing(Treatment.IGNORED, reason)


@dataclass(frozen=True)
class Key:
    """One config key.

    Attributes
    ----------
    name
        The official name, such as ``API.Port``.
    default
        The value if the key is not set, as a Python value of the kind.
    choices
        The only values allowed (compared without case); empty means any.
    aliases
        Further words for choices, such as the numbers that official programs take.
    secret
        Whether the value is masked when it is shown.
    ours
        Whether official Bacalhau does not know this key.
    """

    name: str
    kind: Kind
    default: Any
    meaning: str
    standing: Standing
    choices: tuple[str, ...] = ()
    aliases: tuple[tuple[str, str], ...] = ()
    secret: bool = False
    ours: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that sets this key."""
        return "BACALHAU_" + self.name.upper().replace(".", "_")

    @property
    def is_refused(self) -> bool:
        """Whether a node does not start with another value than the default."""
        return self.standing.treatment is Treatment.REFUSED


_ZERO: dict[Kind, Callable[[], Any]] = {
    Kind.TEXT: str,
    Kind.FLAG: bool,
    Kind.INTEGER: int,
    Kind.PORT: int,
    Kind.DURATION: float,
    Kind.SIZE: int,
    Kind.LIST: list,
    Kind.MAP: dict,
    Kind.TREE: dict,
    Kind.RECORDS: list,
}


def zero(kind: Kind) -> Any:
    """Return the empty value of a kind."""
    return _ZERO[kind]()
